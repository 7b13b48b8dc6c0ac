"""Every recipe learns on generated syllables, as it stands: no setting is changed but the length of the run.

10-per-class kNN of the encoder after some hundred steps is above that of the untrained one, in the mean of 3 choices of
the labeled clips. Training never sees the test clips, every fifth take. Recipes that end a chain (soft units, BEATs'
tokenizer) are asked for no more than they promise alone: that the loss they are trained by falls.
"""

from __future__ import annotations

import pytest
import torch

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import resolve
from unlabeled.probes.embedding import embed
from unlabeled.probes.knn import knn_accuracy
from unlabeled.probes.splits import split, subset
from unlabeled.testing.learning import pretrain
from unlabeled_audio.views.standard import Clean

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


def steps_of(parts: Parts) -> int:
    return STEPS if parts.mask is None else MASKED_STEPS


def trainable(parts: Parts) -> torch.Tensor:
    """The samples that are not of the test."""
    assert parts.data.test is not None
    return torch.nonzero(~parts.data.test)[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(recipe_files("audio")))
def test_a_recipe_learns(name: str) -> None:
    parts = parts_of(name)
    before = few_shot(parts)
    losses = pretrain(parts, trainable(parts), steps_of(parts))
    after = few_shot(parts)
    if name in CHAINED:
        assert sum(losses[-10:]) < sum(losses[:10])
    else:
        assert after > before + MARGIN, f"untrained {before:.3f}, pre-trained {after:.3f}"
