"""Every recipe learns on generated syllables, as it stands: no setting is changed but the length of the run.

10-per-class kNN of the encoder after some hundred steps is above that of the untrained one, in the mean of 3 choices of
the labeled clips. Training never sees the test clips, every fifth take. Recipes that end a chain (soft units, BEATs'
tokenizer) are asked for no more than they promise alone: that the loss they are trained by falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from unlabeled.build import Parts, build, construct
from unlabeled.config import resolve
from unlabeled.contract import Progress
from unlabeled.probes.embedding import embed
from unlabeled.probes.knn import knn_accuracy
from unlabeled.probes.splits import split, subset
from unlabeled.recipes import load_recipe, recipe_files
from unlabeled.training.optimizers import parameter_groups
from unlabeled_audio.views import Clean

STEPS, MASKED_STEPS = 80, 250
MARGIN = 0.02
CHAINED = ("atst_both", "beats_tokenizer", "soft_units", "invariant_units", "unfused")


def parts_of(name: str) -> Parts:
    torch.manual_seed(0)
    return build(resolve(load_recipe("audio", name), "audio"))


def few_shot(parts: Parts) -> float:
    found = embed(parts.encoder, parts.data, Clean(parts.data.spec))
    x, y, ids = found.x, parts.data.labels, torch.arange(len(parts.data))
    assert y is not None
    scores = []
    for seed in range(3):
        train, test = split(parts.data, ids, seed)
        few = train[subset(y[train], ids[train], "10 per class", seed)]
        scores.append(knn_accuracy(x[few], y[few], x[test], y[test]))
    return sum(scores) / len(scores)


def pretrain(parts: Parts, steps: int) -> list[float]:
    parts.encoder.train()
    parts.objective.train()
    config = parts.config
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(config.component("optimizer"), config.parts["optimizer"].settings, {"groups": groups})
    rate: Any = construct(config.component("schedule"), config.parts["schedule"].settings, {"steps": steps})
    base, losses = [group["lr"] for group in optimizer.param_groups], []
    for step, (epoch, ids) in enumerate(batches(parts, steps)):
        loss = parts.objective(parts.encoder, parts.prepare(parts.data.__getitems__(ids.tolist()), 0, epoch))
        optimizer.zero_grad()
        loss.total.backward()
        if config.training.clip:
            torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], config.training.clip)
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * rate(step)
        optimizer.step()
        parts.objective.after_step(parts.encoder, Progress(step + 1, steps))
        losses.append(float(loss.total.detach()))
    return losses


def batches(parts: Parts, steps: int) -> Iterator[tuple[int, torch.Tensor]]:
    """The epoch and the clips of each step; none of the test."""
    held_out = parts.data.test
    assert held_out is not None
    train, size = torch.nonzero(~held_out)[:, 0], parts.config.training.batch_size
    for step in range(steps):
        epoch, number = divmod(step, len(train) // size)
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(epoch))
        yield epoch, train[order[number * size : (number + 1) * size]]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(recipe_files("audio")))
def test_a_recipe_learns(name: str) -> None:
    parts = parts_of(name)
    before = few_shot(parts)
    losses = pretrain(parts, STEPS if parts.mask is None else MASKED_STEPS)
    after = few_shot(parts)
    if name in CHAINED:
        assert sum(losses[-10:]) < sum(losses[:10])
    else:
        assert after > before + MARGIN, f"untrained {before:.3f}, pre-trained {after:.3f}"
