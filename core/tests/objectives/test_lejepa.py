"""LeJEPA against lightly 1.6.0, and what SIGReg and its directions promise."""

import pytest
import torch
import torch.nn.functional as F
from lightly.loss.lejepa_loss import LeJEPALoss, SIGReg

from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.objectives.lejepa import LeJEPA, directions, prediction_loss, sigreg
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def slices(dim, count, seed):
    """The directions that lightly's SIGReg draws from the global generator."""
    torch.manual_seed(seed)
    return F.normalize(torch.randn(dim, count), dim=0)


def test_golden_value():
    torch.manual_seed(0)
    z1 = torch.randn(64, 32)
    assert sigreg(z1[None], slices(32, 64, 5)).item() == pytest.approx(0.846005, rel=1e-6)


@pytest.mark.parametrize(("knots", "t_max"), [(17, 3.0), (9, 5.0)])
def test_equals_lightly_given_the_same_directions(knots, t_max):
    torch.manual_seed(1)
    z = torch.randn(3, 40, 12) * 0.7 + 0.2
    oracle = LeJEPALoss(lambda_param=0.02, sigreg_knots=knots, sigreg_t_max=t_max, sigreg_num_vectors=100)
    torch.manual_seed(2)
    expected = oracle(global_proj=z[:2], local_proj=z[2:])
    ours = 0.02 * sigreg(z, slices(12, 100, 2), knots=knots, t_max=t_max) + 0.98 * prediction_loss(z, 2)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=0)
    torch.manual_seed(3)
    reference = SIGReg(knots=knots, t_max=t_max, num_vectors=50)(z)
    torch.testing.assert_close(sigreg(z, slices(12, 50, 3), knots=knots, t_max=t_max), reference, rtol=1e-5, atol=0)


def test_a_gaussian_scores_low_and_what_is_not_high():
    torch.manual_seed(0)
    way = slices(8, 256, 1)
    normal = torch.randn(1, 2000, 8)
    low = sigreg(normal, way)
    assert low < 1.5
    others = {
        "collapsed": torch.zeros(1, 2000, 8),
        "wide": normal * 2,
        "shifted": normal + 1,
        "flat": normal * torch.tensor([0.0] + [1.0] * 7),
        "two lumps": torch.sign(normal),
    }
    for name, z in others.items():
        assert sigreg(z, way) > 4 * low, name


def test_sigreg_ignores_the_order_of_samples_and_a_mirror():
    torch.manual_seed(0)
    z, way = torch.randn(2, 50, 6), slices(6, 64, 0)
    torch.testing.assert_close(sigreg(z.flip(1), way), sigreg(z, way))
    torch.testing.assert_close(sigreg(-z, way), sigreg(z, way))


def test_directions_are_uniform_on_the_sphere_and_a_function_of_the_step():
    way = directions(torch.tensor(5), 6, 20000)
    torch.testing.assert_close(way.norm(dim=0), torch.ones(20000))
    assert way.mean(1).abs().max() < 5 * (1 / 6 / 20000) ** 0.5
    assert ((way @ way.T) / 20000 - torch.eye(6) / 6).abs().max() < 0.01
    assert (way.pow(4).mean(1) - 3 / (6 * 8)).abs().max() < 0.005  # the fourth moment of a uniform direction
    assert torch.equal(way, directions(torch.tensor(5), 6, 20000))
    assert not torch.isclose(way, directions(torch.tensor(6), 6, 20000)).all(0).any()
    assert directions(torch.tensor(5), 6, 20000).isfinite().all()


def test_objective_is_the_weighted_sum_and_draws_anew_each_step():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = LeJEPA(encoder, hidden=16, dim=6, weight=0.1, slices=32)
    views = toy_views(toy_batch(range(8)), ("local", "global", "global"))
    found = []
    for step in range(3):
        loss = objective(encoder, views)
        z = objective.projector(torch.cat([encoder(views[i]).pooled for i in (1, 2, 0)])).reshape(3, 8, 6)
        way = directions(torch.tensor(step), 6, 32)
        expected = 0.1 * sigreg(z, way) + 0.9 * prediction_loss(z, 2)
        torch.testing.assert_close(loss.total, expected)
        torch.testing.assert_close(0.1 * loss.parts["sigreg"] + 0.9 * loss.parts["prediction"], expected.detach())
        found.append(loss.parts["sigreg"].item())
        after_step(objective, encoder, Progress(step + 1, 10))
    assert len(set(found)) == 3
