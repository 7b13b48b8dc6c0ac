"""A teacher is an exponential moving average of its source, and never learns by itself."""

import math

import pytest
import torch
from torch import nn

from unlabeled.contract import Progress
from unlabeled.nn.teacher import Teacher, momentum_at


def make():
    torch.manual_seed(0)
    return nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


def test_copies_are_equal_apart_and_without_gradient():
    first, second = make()
    teacher = Teacher(first, second)
    x = torch.randn(5, 3)
    torch.testing.assert_close(teacher[1](teacher[0](x)), second(first(x)))
    theirs = {p.data_ptr() for module in (first, second) for p in module.parameters()}
    assert not theirs & {p.data_ptr() for p in teacher.parameters()}
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in first.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_update_is_the_moving_average(momentum):
    source = make()
    teacher = Teacher(*source)
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for module in source:
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter))
    teacher.update(momentum, *source)
    new = [p for m in source for p in m.parameters()]
    for old, target, found in zip(before, new, teacher.parameters(), strict=True):
        torch.testing.assert_close(found, momentum * old + (1 - momentum) * target)


def test_buffers_are_copied():
    first, second = make()
    teacher = Teacher(first, second)
    second(first(torch.randn(5, 3) + 10))
    teacher.update(0.5, first, second)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(getattr(teacher[1][1], name), getattr(second[1], name)), name


def test_update_builds_no_graph():
    source = make()
    teacher = Teacher(*source)
    teacher.update(0.9, *source)
    assert all(p.grad_fn is None for p in teacher.parameters())
    assert all(p.requires_grad for m in source for p in m.parameters())


def test_another_structure_is_refused():
    teacher = Teacher(nn.Linear(3, 4))
    with pytest.raises(AssertionError):
        teacher.update(0.9, nn.Linear(3, 4, bias=False))
    with pytest.raises(AssertionError):
        teacher.update(0.9, *make())


def test_it_follows_the_training_mode_of_its_owner():
    teacher = Teacher(*make())
    assert teacher[1].training
    teacher.eval()
    assert not teacher[1].training


def test_state_round_trip():
    teacher, other = Teacher(*make()), Teacher(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    other.load_state_dict(teacher.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), other.parameters(), strict=True))


def test_momentum_ramps_along_a_cosine():
    assert momentum_at(0.99, 1.0, Progress(0, 100)) == pytest.approx(0.99, abs=1e-15)
    assert momentum_at(0.99, 1.0, Progress(100, 100)) == 1.0
    assert momentum_at(0.99, 1.0, Progress(50, 100)) == pytest.approx(0.995)
    assert momentum_at(0.996, 1.0, Progress(25, 100)) == pytest.approx(1 - 0.004 * (math.cos(math.pi / 4) + 1) / 2)
    assert momentum_at(0.99, 1.0, Progress(300, 100)) == 1.0
