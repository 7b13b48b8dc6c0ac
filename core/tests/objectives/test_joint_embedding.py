"""What joint-embedding objectives share beyond conduct: views in any order, means over pairs, teachers that follow."""

import pytest
import torch

from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.objectives.barlow_twins import BarlowTwins
from unlabeled.objectives.byol import BYOL, SimSiam
from unlabeled.objectives.moco import MoCoV2, MoCoV3
from unlabeled.objectives.simclr import SimCLR
from unlabeled.objectives.vicreg import VICReg
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views

HEAD, DEEP = {"projector": (12, 6)}, {"projector": (12, 12, 6)}
MAKE = {
    "simclr": lambda e: SimCLR(e, **HEAD),
    "moco_v2": lambda e: MoCoV2(e, **HEAD, queue=21, symmetric=True, chunk=3),
    "moco_v3": lambda e: MoCoV3(e, **DEEP, predictor=12),
    "barlow_twins": lambda e: BarlowTwins(e, **HEAD),
    "vicreg": lambda e: VICReg(e, **HEAD),
    "byol": lambda e: BYOL(e, **HEAD, predictor=12),
    "simsiam": lambda e: SimSiam(e, **DEEP, predictor=4),
}


def make(name):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    return encoder, MAKE[name](encoder)


def make_views(ids):
    return toy_views(toy_batch(ids))


@pytest.mark.parametrize("name", MAKE)
def test_the_order_of_views_does_not_matter(name):
    encoder, objective = make(name)
    objective.eval()  # MoCo's queue takes in keys in the order of views
    views = make_views(range(6))
    one, other = objective(encoder, views), objective(encoder, views[::-1])
    torch.testing.assert_close(one.total, other.total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["simclr", "barlow_twins", "vicreg", "byol", "simsiam"])
def test_more_views_average_over_pairs(name):
    """With the third view equal to the first, pairs (0, 1) and (1, 2) agree: the mean of three pairs is known."""
    encoder, objective = make(name)
    first, second = make_views(range(6))
    ab = objective(encoder, [first, second]).total
    aa = objective(encoder, [first, first]).total
    three = objective(encoder, [first, second, first]).total
    if name == "vicreg":  # variance and covariance go over views, of which two are the first
        parts = [objective(encoder, v).parts["invariance"] for v in ([first, second], [first, second, first])]
        torch.testing.assert_close(parts[1], parts[0] * 2 / 3, rtol=1e-5, atol=1e-7)
        bb = objective(encoder, [second, second])
        own = 25.0 * bb.parts["variance"] + bb.parts["covariance"]
        expected = 25.0 * parts[0] * 2 / 3 + (2 * aa.detach() + own) / 3
        torch.testing.assert_close(three, expected, rtol=1e-5, atol=1e-6)
    else:
        torch.testing.assert_close(three, (2 * ab + aa) / 3, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["moco_v2", "moco_v3", "byol"])
def test_a_teacher_follows(name):
    """Its weights are momentum * old + (1 - momentum) * the student's, and without a step they stay."""
    encoder, objective = make(name)
    before = [p.clone() for p in objective.teacher.parameters()]
    with torch.no_grad():
        for parameter in (*encoder.parameters(), *objective.projector.parameters()):
            parameter.add_(1.0)
    after_step(objective, encoder, Progress(0, 10))
    for old, new in zip(before, objective.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + (1.0 - objective.momentum), rtol=1e-4, atol=1e-5)


def test_ramped_momentum_ends_at_one():
    for name in ("moco_v3", "byol"):
        encoder, objective = make(name)
        before = [p.clone() for p in objective.teacher.parameters()]
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.add_(1.0)
        after_step(objective, encoder, Progress(10, 10))
        assert all(torch.equal(a, b) for a, b in zip(before, objective.teacher.parameters(), strict=True))
