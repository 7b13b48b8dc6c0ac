"""Every recipe learns on the phantoms, as it stands but for the length of the run.

What is asked is what the recipe is for: those that restore or predict voxels must make the rows of unseen volumes tell
organs apart better than the untrained encoder's (Dice of a linear head on frozen rows); the others must tell the
classes of unseen phantoms apart at least as well (kNN), or the organs better.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unlabeled.build import Parts, build, construct
from unlabeled.config import merge, resolve
from unlabeled.contract import Progress
from unlabeled.probes.embedding import embed
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.knn import knn_accuracy
from unlabeled.recipes import load_recipe, recipe_files
from unlabeled.training.optimizers import parameter_groups
from unlabeled_medical3d.probes.voxels import VoxelProbe
from unlabeled_medical3d.views import Clean

STEPS = 150


def parts_of(name: str) -> Parts:
    torch.manual_seed(0)
    data = {"name": "phantoms", "count": 96}
    return build(resolve(merge(load_recipe("medical3d", name), {"data": data}), "medical3d"))


def numbers(parts: Parts) -> tuple[float, float]:
    """Dice of a linear head on frozen rows, and kNN accuracy of the class, on the held-out quarter."""
    data, clean = parts.data, Clean(parts.data.spec)
    held: Any = data.test
    train, test = torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]
    frozen = Frozen(parts.encoder, "pre-trained", data, clean, train, test, batch_size=16)
    dice = VoxelProbe(volumes=12, test=12, steps=80)(frozen)["dice"]
    found = embed(parts.encoder, data, clean, batch_size=16)
    assert found.y is not None
    accuracy = knn_accuracy(found.x[train], found.y[train], found.x[test], found.y[test], k=5)
    return dice, accuracy


def pretrain(parts: Parts) -> None:
    parts.encoder.train()
    parts.objective.train()
    config, size = parts.config, min(16, parts.config.training.batch_size)
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(config.component("optimizer"), config.parts["optimizer"].settings, {"groups": groups})
    rate: Any = construct(config.component("schedule"), config.parts["schedule"].settings, {"steps": STEPS})
    base = [group["lr"] for group in optimizer.param_groups]
    held: Any = parts.data.test
    train = torch.nonzero(~held)[:, 0]
    for step in range(STEPS):
        epoch, number = divmod(step, len(train) // size)
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(epoch))
        ids = train[order[number * size : (number + 1) * size]].tolist()
        loss = parts.objective(parts.encoder, parts.prepare(parts.data.__getitems__(ids), 0, epoch))
        optimizer.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], config.training.clip or 10.0)
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * rate(step)
        optimizer.step()
        parts.objective.after_step(parts.encoder, Progress(step + 1, STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(recipe_files("medical3d")))
def test_a_recipe_learns(name: str) -> None:
    parts = parts_of(name)
    before = numbers(parts)
    pretrain(parts)
    after = numbers(parts)
    gained = (after[0] > before[0] + 0.02, after[1] > before[1] + 0.05)
    assert any(gained), f"Dice {before[0]:.3f} to {after[0]:.3f}, kNN {before[1]:.3f} to {after[1]:.3f}"
