"""UniSiam: alignment stops its gradient at the target; uniformity is one logarithm of one mean over other samples."""

import math

import pytest
import torch

from unlabeled.nn.cosine import across
from unlabeled.nn.heads import unit
from unlabeled.objectives.unisiam import UniSiam, uniformity
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_uniformity_is_the_log_of_the_mean_over_pairs_of_samples():
    torch.manual_seed(0)
    z = unit(torch.randn(10, 4)).double().view(2, 5, 4)
    terms = [
        math.exp(z[v, i] @ z[w, j] / 2.0)
        for v in range(2) for w in range(2) for i in range(5) for j in range(5) if i != j
    ]  # fmt: skip
    assert uniformity(z, 2.0).item() == pytest.approx(math.log(sum(terms) / len(terms)), rel=1e-9)


def test_the_loss_is_uniformity_less_the_cosine_of_predictions():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = UniSiam(encoder, projector=(12, 6), predictor=4, weight=0.3, temperature=1.5)
    views = toy_views(toy_batch(range(8)))
    loss = objective(encoder, views)
    z = [objective.projector(encoder(view).pooled) for view in views]
    wanted = 0.3 * uniformity(torch.stack([unit(x) for x in z]), 1.5) - across([objective.predictor(x) for x in z], z)
    torch.testing.assert_close(loss.total, wanted)


def test_samples_at_one_point_have_the_highest_uniformity():
    spread = uniformity(
        unit(torch.randn(1, 64, 3, generator=torch.Generator().manual_seed(0)).flatten(0, 1))[None], 0.5
    )
    assert uniformity(torch.ones(1, 64, 3) / 3**0.5, 0.5).item() == pytest.approx(2.0)
    assert spread < 1.0
