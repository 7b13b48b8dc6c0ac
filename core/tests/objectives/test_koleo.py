"""KoLeo: lightly's loss, beside the cosine of views."""

import torch
from lightly.loss import KoLeoLoss

from unlabeled.nn.heads import unit
from unlabeled.nn.spread import koleo
from unlabeled.objectives.koleo import KoLeo
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_equals_lightly():
    torch.manual_seed(0)
    x = torch.randn(20, 6)
    torch.testing.assert_close(koleo(unit(x)), KoLeoLoss()(x), rtol=1e-5, atol=1e-6)


def test_the_nearest_neighbor_is_pushed_away():
    x = unit(torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]])).requires_grad_()
    koleo(x).backward()
    assert -x.grad[0] @ (x[0] - x[1]).detach() > 0
    assert koleo(unit(torch.tensor([[1.0, 0.0], [1.0, 0.1]]))) > koleo(torch.eye(2))


def test_the_loss_is_entropy_less_cosine():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = KoLeo(encoder, projector=(12, 6), weight=0.4)
    views = toy_views(toy_batch(range(8)))
    a, b = (unit(objective.projector(encoder(view).pooled)) for view in views)
    wanted = 0.4 * (koleo(a) + koleo(b)) / 2 - (a * b).sum(1).mean()
    torch.testing.assert_close(objective(encoder, views).total, wanted)
