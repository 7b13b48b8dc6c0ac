"""BYOL and SimSiam against lightly 1.6.0 and golden values; where gradients stop."""

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity

from unlabeled.nn.cosine import across, cosine
from unlabeled.objectives.byol import BYOL, SimSiam
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_golden_values():
    torch.manual_seed(0)
    z1, z2 = torch.randn(64, 32), torch.randn(64, 32)
    z2 = 0.5 * z1 + 0.5 * z2
    assert -cosine(z1, z2).item() == pytest.approx(-0.725005, abs=1e-6)
    assert 2 - 2 * cosine(z1, z2).item() == pytest.approx(0.549990, abs=1e-6)
    torch.testing.assert_close(-cosine(z1, z2), NegativeCosineSimilarity()(z1, z2), rtol=1e-5, atol=0)


def test_no_gradient_reaches_the_target():
    p, z = torch.randn(2, 6, 4, requires_grad=True).unbind()
    p.retain_grad()
    z.retain_grad()
    across([p, p], [z, z]).backward()
    assert p.grad.abs().sum() > 0
    assert z.grad is None


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ToyEncoder()


@pytest.fixture
def views():
    return toy_views(toy_batch(range(10)))


def test_byol_equals_lightly(encoder, views):
    objective = BYOL(encoder, projector=(16, 8), predictor=16)
    p1, p2 = (objective.predictor(objective.projector(encoder(view).pooled)) for view in views)
    t1, t2 = (objective.teacher(view) for view in views)
    negative = NegativeCosineSimilarity()
    loss = objective(encoder, views)
    torch.testing.assert_close(loss.total, 4 + 2 * (negative(p1, t2) + negative(p2, t1)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss.total.detach(), 4 - 4 * loss.parts["cosine"])


def test_simsiam_equals_lightly(encoder, views):
    objective = SimSiam(encoder, projector=(16, 16, 8), predictor=4)
    z1, z2 = (objective.projector(encoder(view).pooled) for view in views)
    p1, p2 = objective.predictor(z1), objective.predictor(z2)
    negative = NegativeCosineSimilarity()
    expected = (negative(p1, z2.detach()) + negative(p2, z1.detach())) / 2
    torch.testing.assert_close(objective(encoder, views).total, expected, rtol=1e-5, atol=1e-6)
