"""Every recipe learns on the generated sentences, as it stands: no setting is changed but the length of the run.

What must rise clearly above the untrained encoder differs by what a recipe is for: for most the accuracy of 10 labels a
topic, or the correlation with graded pairs. Objectives of words are asked for features of words: the topic of a
sentence, from the mean over its rows.
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
from unlabeled_text.probes.pairs import spearman
from unlabeled_text.views import Clean

STEPS = 150
MARGIN = 0.05


def parts_of(name: str) -> Parts:
    torch.manual_seed(0)
    return build(resolve(load_recipe("text", name), "text"))


def scores(parts: Parts) -> tuple[float, float]:
    """Accuracy from 10 labels a topic, mean of 3 choices of them, and Spearman's correlation with graded pairs."""
    data: Any = parts.data
    x = embed(parts.encoder, data, Clean(data.spec)).x
    y, ids = data.labels, torch.arange(len(data))
    found = []
    for seed in range(3):
        train, test = split(data, ids[y >= 0], seed)
        train, test = ids[y >= 0][train], ids[y >= 0][test]
        few = train[subset(y[train], train, "10 per class", seed)]
        found.append(knn_accuracy(x[few], y[few], x[test], y[test]))
    cosine = torch.cosine_similarity(x[data.pairs[:, 0]], x[data.pairs[:, 1]])
    return sum(found) / len(found), spearman(cosine.numpy(), data.scores.numpy())


def pretrain(parts: Parts) -> None:
    parts.encoder.train()
    parts.objective.train()
    config = parts.config
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(config.component("optimizer"), config.parts["optimizer"].settings, {"groups": groups})
    rate: Any = construct(config.component("schedule"), config.parts["schedule"].settings, {"steps": STEPS})
    base = [group["lr"] for group in optimizer.param_groups]
    for step, (epoch, ids) in enumerate(batches(parts)):
        torch.manual_seed(step)
        loss = parts.objective(parts.encoder, parts.prepare(parts.data.__getitems__(ids.tolist()), 0, epoch))
        optimizer.zero_grad()
        loss.total.backward()
        if config.training.clip:
            torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], config.training.clip)
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * rate(step)
        optimizer.step()
        parts.objective.after_step(parts.encoder, Progress(step + 1, STEPS))


def batches(parts: Parts) -> Iterator[tuple[int, torch.Tensor]]:
    """The epoch and the samples of each step."""
    size, count = parts.config.training.batch_size, len(parts.data)
    for step in range(STEPS):
        epoch, number = divmod(step, count // size)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(epoch))
        yield epoch, order[number * size : (number + 1) * size]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(recipe_files("text")))
def test_a_recipe_learns(name: str) -> None:
    parts = parts_of(name)
    before = scores(parts)
    pretrain(parts)
    after = scores(parts)
    gains = [b - a for a, b in zip(before, after, strict=True)]
    assert max(gains) > MARGIN, f"untrained {before}, pre-trained {after}"
