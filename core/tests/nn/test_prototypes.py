"""Sinkhorn-Knopp and swapped prediction against lightly 1.6.0, and what even codes promise."""

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import SwaVLoss
from lightly.loss.swav_loss import sinkhorn as lightly_sinkhorn

from unlabeled.nn.prototypes import sinkhorn, swapped_prediction


@pytest.fixture
def scores():
    """Cosines of two views with 48 prototypes: the start of the shared conformance fixture."""
    torch.manual_seed(0)
    z1, z2 = torch.randn(64, 32), torch.randn(64, 32)
    z2 = 0.5 * z1 + 0.5 * z2
    prototypes = F.normalize(torch.randn(48, 32), dim=1)
    return [F.normalize(z, dim=1) @ prototypes.T for z in (z1, z2)]


def test_golden_value(scores):
    codes = [sinkhorn(s) for s in scores]
    assert codes[0][0, 0].item() == pytest.approx(4.76509e-05, rel=1e-5)
    assert swapped_prediction(scores, codes).item() == pytest.approx(2.912347, rel=1e-6)


@pytest.mark.parametrize("local", [0, 3])
def test_equals_lightly(scores, local):
    torch.manual_seed(1)
    low = [torch.rand(64, 48) * 2 - 1 for _ in range(local)]
    for epsilon, iterations in ((0.05, 3), (0.2, 5)):
        codes = [sinkhorn(s, epsilon=epsilon, iterations=iterations) for s in scores]
        torch.testing.assert_close(codes[1], lightly_sinkhorn(scores[1], iterations, epsilon), rtol=1e-5, atol=1e-8)
        expected = SwaVLoss(temperature=0.2, sinkhorn_iterations=iterations, sinkhorn_epsilon=epsilon)(scores, low)
        torch.testing.assert_close(swapped_prediction([*scores, *low], codes, 0.2), expected[0], rtol=1e-5, atol=0)


def test_codes_share_the_prototypes_equally(scores):
    codes = sinkhorn(scores[0].double(), epsilon=0.2, iterations=200)
    torch.testing.assert_close(codes.sum(1), torch.ones(64, dtype=torch.float64))
    torch.testing.assert_close(codes.sum(0), torch.full((48,), 64 / 48, dtype=torch.float64))


def test_codes_ignore_order_and_a_common_shift(scores):
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    codes = sinkhorn(scores[0])
    torch.testing.assert_close(sinkhorn(scores[0][order]), codes[order])
    torch.testing.assert_close(sinkhorn(scores[0] + 7), codes, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("scale", [0.0, 1e4, 1e30])
def test_codes_of_extreme_scores_are_distributions(scores, scale):
    codes = sinkhorn(scores[0] * scale)
    torch.testing.assert_close(codes.sum(1), torch.ones(64))


def test_rows_without_weight_do_not_move_the_others(scores):
    weight = torch.cat((torch.ones(64), torch.zeros(64)))
    torch.testing.assert_close(sinkhorn(torch.cat(scores), weight_N=weight)[:64], sinkhorn(scores[0]))
    both = sinkhorn(torch.cat(scores), weight_N=torch.ones(128))
    torch.testing.assert_close(both, sinkhorn(torch.cat(scores)))
    assert not torch.allclose(both[:64], sinkhorn(scores[0]))


@pytest.mark.parametrize(
    ("correlation", "epsilon", "grows"), [(0.2, 0.05, False), (0.2, 0.01, True), (0.7, 0.05, True)]
)
def test_even_codes_are_left_where_views_agree_above_epsilon_over_temperature(correlation, epsilon, grows):
    torch.manual_seed(0)
    shared, own = torch.randn(3, 256, 32).mul(correlation**0.5), torch.randn(3, 256, 32).mul((1 - correlation) ** 0.5)
    scale = torch.tensor(1e-4, requires_grad=True)  # of scores that are even but for the first trace of a sample
    scores = [scale * (shared[0] + own[view]) for view in range(2)]
    codes = [sinkhorn(s.detach(), epsilon=epsilon) for s in scores]
    (slope,) = torch.autograd.grad(swapped_prediction(scores, codes, 0.1), scale)
    assert (slope.item() < 0) == grows
