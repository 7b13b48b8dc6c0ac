"""Barlow Twins against lightly 1.6.0 and the golden value."""

import pytest
import torch
from lightly.loss import BarlowTwinsLoss

from unlabeled.nn.whitening import cross_correlation, standardize
from unlabeled.objectives.barlow_twins import BarlowTwins, barlow_twins_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


@pytest.fixture
def pair():
    torch.manual_seed(0)
    z1, z2 = torch.randn(64, 32), torch.randn(64, 32)
    return z1, 0.5 * z1 + 0.5 * z2


@pytest.mark.parametrize("redundancy", [5e-3, 0.5])
def test_equals_lightly(pair, redundancy):
    on, off = barlow_twins_loss(cross_correlation(*(standardize(z) for z in pair)))
    total = on + redundancy * off
    peer = BarlowTwinsLoss(lambda_param=redundancy)(*(z.clone() for z in pair))  # lightly writes into its inputs
    torch.testing.assert_close(total, peer, rtol=1e-5, atol=0)
    if redundancy == 5e-3:
        assert total.item() == pytest.approx(2.528620, rel=2e-6)


def test_class_adds_the_terms_up():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = BarlowTwins(encoder, projector=(16, 8), redundancy=0.1)
    views = toy_views(toy_batch(range(10)))
    loss = objective(encoder, views)
    z1, z2 = (objective.projector(encoder(view).pooled) for view in views)
    torch.testing.assert_close(loss.total, BarlowTwinsLoss(lambda_param=0.1)(z1, z2), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss.parts["invariance"] + 0.1 * loss.parts["redundancy"], loss.total.detach())


def test_scale_and_shift_of_features_do_not_matter(pair):
    z1, z2 = pair
    one = barlow_twins_loss(cross_correlation(standardize(z1), standardize(z2)))
    other = barlow_twins_loss(cross_correlation(standardize(100 * z1 + 7), standardize(z2)))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_identity_costs_nothing():
    on, off = barlow_twins_loss(torch.eye(5))
    assert on == off == 0
