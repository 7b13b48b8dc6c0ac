"""A teacher is an exponential moving average of its source, and never learns by itself."""

import math

import pytest
import torch
from torch import nn

from unlabeled.contract import Progress
from unlabeled.nn.teacher import Frozen, Teacher, cosine_momentum, linear_momentum


def make():
    torch.manual_seed(0)
    return {"encoder": nn.Linear(3, 4), "head": nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))}


def test_copies_are_equal_apart_and_without_gradient():
    first, second = make().values()
    teacher = Teacher(encoder=first, head=second)
    x = torch.randn(5, 3)
    torch.testing.assert_close(teacher.head(teacher.encoder(x)), second(first(x)))
    theirs = {p.data_ptr() for module in (first, second) for p in module.parameters()}
    assert not theirs & {p.data_ptr() for p in teacher.parameters()}
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in first.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_update_is_the_moving_average(momentum):
    source = make()
    teacher = Teacher(**source)
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for module in source.values():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter))
    teacher.update(momentum, **source)
    new = [p for m in source.values() for p in m.parameters()]
    for old, target, found in zip(before, new, teacher.parameters(), strict=True):
        torch.testing.assert_close(found, momentum * old + (1 - momentum) * target)


def test_buffers_are_copied():
    first, second = make().values()
    teacher = Teacher(encoder=first, head=second)
    second(first(torch.randn(5, 3) + 10))
    teacher.update(0.5, head=second, encoder=first)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(getattr(teacher.head[1], name), getattr(second[1], name)), name


def test_update_builds_no_graph():
    source = make()
    teacher = Teacher(**source)
    teacher.update(0.9, **source)
    assert all(p.grad_fn is None for p in teacher.parameters())
    assert all(p.requires_grad for m in source.values() for p in m.parameters())


def test_another_structure_is_refused():
    teacher = Teacher(encoder=nn.Linear(3, 4))
    with pytest.raises(AssertionError):
        teacher.update(0.9, encoder=nn.Linear(3, 4, bias=False))
    with pytest.raises(AssertionError):
        teacher.update(0.9, **make())


def noisy():
    """A head whose dropout stands beside, inside and behind a BatchNorm, as timm's BatchNormAct2d has it."""
    norm = nn.BatchNorm1d(4)
    norm.drop = nn.Dropout(0.5)
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), norm, nn.Dropout(0.5))


def test_in_training_it_has_no_dropout_and_the_statistics_of_the_batch():
    head = noisy()
    teacher, x = Teacher(head=head), torch.randn(8, 3) + 5
    linear, _, norm, _ = teacher.train().head
    assert torch.equal(teacher.head(x), teacher.head(x))
    torch.testing.assert_close(teacher.head(x), nn.functional.batch_norm(linear(x), None, None, training=True))
    assert not norm.drop.training
    assert head.training, "the student keeps its dropout"


@pytest.mark.parametrize("teacher", [Teacher(head=noisy()).eval(), Teacher(train=False, head=noisy()).train()])
def test_in_evaluation_it_has_the_statistics_of_its_buffers(teacher):
    x = torch.randn(8, 3)
    torch.testing.assert_close(teacher.head(x), teacher.head[0](x) / math.sqrt(1 + 1e-5))


def test_momentum_ramps_along_a_cosine():
    assert cosine_momentum(0.99, 1.0, Progress(0, 100)) == pytest.approx(0.99, abs=1e-15)
    assert cosine_momentum(0.99, 1.0, Progress(100, 100)) == 1.0
    assert cosine_momentum(0.99, 1.0, Progress(50, 100)) == pytest.approx(0.995)
    assert cosine_momentum(0.996, 1.0, Progress(25, 100)) == pytest.approx(1 - 0.004 * (math.cos(math.pi / 4) + 1) / 2)
    assert cosine_momentum(0.99, 1.0, Progress(300, 100)) == 1.0


def test_momentum_rises_in_a_line_and_stays():
    found = [linear_momentum(0.99, 1.0, Progress(step, 100), share=0.5) for step in (0, 25, 50, 100)]
    assert found == pytest.approx([0.99, 0.995, 1.0, 1.0], abs=1e-12)
    assert linear_momentum(0.996, 1.0, Progress(75, 100)) == pytest.approx(0.999)
    assert linear_momentum(0.9, 0.99, Progress(0, 100), share=0.0) == 0.99


def test_what_a_run_trained_follows_the_device_and_is_no_part_of_the_state():
    trained = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    frozen = Frozen(trained).train().to(torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64)
    assert torch.equal(frozen(x), trained[0](x))
    assert not frozen(x).requires_grad
    assert not frozen.state_dict()
    assert not list(frozen.parameters())


def test_without_a_run_the_start_stays_as_it_was():
    start = nn.Linear(3, 2)
    frozen, before = Frozen(None, start), start.weight.detach().clone()
    with torch.no_grad():
        start.weight.zero_()
    assert torch.equal(frozen.state_dict()["start.weight"], before)
    assert start.weight.requires_grad
    assert not frozen.encoder.weight.requires_grad
