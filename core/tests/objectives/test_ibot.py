"""iBOT and DINOv2 against lightly's losses, and what teacher and student see."""

from dataclasses import replace

import pytest
import torch
from lightly.loss import DINOLoss, IBOTPatchLoss, KoLeoLoss

from unlabeled.contract import Progress, Rows
from unlabeled.nn.clock import after_step
from unlabeled.nn.prototypes import sinkhorn
from unlabeled.objectives.ibot import IBOT, row_loss, row_weights
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views

SMALL = {"hidden": 16, "bottleneck": 6, "prototypes": 12, "freeze_last": 0.0, "warmup": 0.0}


def made(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = IBOT(encoder, **SMALL | settings)
    views = toy_views(toy_batch(range(6)), ("global", "global", "local"), encoder)
    return encoder, objective, [toy_hide(views[0], 3), toy_hide(views[1], 5), views[2]]


def outputs(encoder, objective, views):
    """Outputs of student and teacher, spelled out: samples, and hidden rows of each global view."""
    one = torch.ones(())
    with torch.no_grad():
        whole = [objective.teacher.encoder(view.clean()) for view in views[:2]]
        teacher = [objective.teacher.head(f.pooled, one) for f in whole]
        head = objective.teacher.get_submodule(objective.names[-1])
        teacher_rows = [head(f.tokens[view.hidden.index], one) for f, view in zip(whole, views)]
    masked = [encoder(view, hide="mask") for view in views[:2]]
    student = [objective.head(f.pooled, one) for f in (*masked, encoder(views[2]))]
    head = objective.get_submodule(objective.names[-1])
    rows = [head(f.tokens[view.hidden.index], one) for f, view in zip(masked, views)]
    return teacher, teacher_rows, student, rows, masked


def test_equals_lightlys_losses_of_samples_and_of_rows():
    encoder, objective, views = made(rows=0.7)
    teacher, teacher_rows, student, rows, _ = outputs(encoder, objective, views)
    sample_oracle = DINOLoss(12, teacher_temp=0.07, warmup_teacher_temp=0.07)
    sample_oracle.center = torch.stack(teacher).mean((0, 1))[None, None]
    wanted = sample_oracle(teacher, student, teacher_temp=0.07)
    center = torch.cat(teacher_rows).mean(0)
    for number, view in enumerate(views[:2]):
        oracle = IBOTPatchLoss(12, teacher_temp=0.07)
        mask = torch.zeros(view.layout.total, dtype=torch.bool).index_fill(0, view.hidden.index, True)
        wanted = wanted + 0.7 * oracle(teacher_rows[number] - center, rows[number], mask.view(6, 4, 4)) / 2
    torch.testing.assert_close(objective(encoder, views).total, wanted, rtol=1e-5, atol=1e-6)


def test_dinov2_has_sinkhorn_heads_of_their_own_and_koleo():
    encoder, objective, views = made(shared=False, centering="sinkhorn", koleo=0.3)
    teacher, teacher_rows, student, rows, masked = outputs(encoder, objective, views)
    assert objective.head is not objective.row_head
    target = sinkhorn(torch.cat(teacher), epsilon=0.07).view(2, 6, 12)
    row_target = sinkhorn(torch.cat(teacher_rows), epsilon=0.07)
    logs = [torch.log_softmax(s / 0.1, 1) for s in student]
    pairs = [-(target[t] * logs[s]).sum(1).mean() for t in range(2) for s in range(3) if s != t]
    row = row_loss(torch.cat(rows), row_target, row_weights(views[:2]), 0.1)
    entropy = sum(KoLeoLoss()(f.pooled) for f in masked) / 2
    wanted = sum(pairs) / len(pairs) + row + 0.3 * entropy
    torch.testing.assert_close(objective(encoder, views).total, wanted, rtol=1e-4, atol=1e-5)


def test_each_sample_of_each_masked_view_counts_once():
    views = made()[2]
    uneven = replace(views[0], hidden=Rows(torch.tensor([0, 1, 16]), (2, 1, 0, 0, 0, 0)))
    assert row_weights([uneven]).tolist() == pytest.approx([1 / 12, 1 / 12, 1 / 6])
    assert row_weights(views[:2]).sum().item() == pytest.approx(1)


def test_the_teacher_sees_no_mask_and_the_student_does():
    encoder, objective, views = made()
    objective.eval()
    other = [toy_hide(views[0], 3, seed=5), *views[1:]]
    with torch.no_grad():
        first, second = objective(encoder, views), objective(encoder, other)
    assert first.total != second.total
    assert first.parts["teacher_entropy"] == second.parts["teacher_entropy"], "whatever is hidden"


def test_rows_teach_the_encoder_and_never_the_teacher():
    encoder, objective, views = made(rows=1.0)
    objective(encoder, views).total.backward()
    assert encoder.mask_token.grad.abs().sum() > 0
    assert all(p.grad is None for p in objective.teacher.parameters())
    before = [p.clone() for p in objective.teacher.head.parameters()]
    with torch.no_grad():
        objective.head.prototypes.add_(1.0)
    after_step(objective, encoder, Progress(1, 10))
    moved = objective.teacher.head.prototypes
    torch.testing.assert_close(
        moved, before[0].lerp(objective.head.prototypes, moved.new_tensor(0.004)), atol=2e-3, rtol=0
    )
    assert objective.center.seen
    assert objective.row_center.seen


def test_of_several_sets_of_hidden_rows_each_sample_counts_once():
    sets = (Rows(torch.tensor([0, 1, 16]), (2, 1)), Rows(torch.tensor([17, 18]), (0, 2)))
    (view,) = toy_views(toy_batch(range(2)), ("global",), ToyEncoder())
    found = row_weights([replace(view, predict=sets), view])
    assert found.tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6])
