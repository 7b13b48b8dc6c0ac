"""I-JEPA against its formula written out sample by sample and block by block: no package has it as a loss."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from unlabeled.contract import Layout, Progress, Rows
from unlabeled.nn.clock import after_step
from unlabeled.objectives.i_jepa import IJEPA, i_jepa_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views

SETS = (((0, 1), (2, 3, 7)), ((4, 5, 6), (12,)))  # of block, of sample: places in the sample
HIDDEN = ((0, 1, 4, 5, 6, 15), (2, 3, 7, 12))


def rows(places):
    index = [16 * sample + place for sample, chosen in enumerate(places) for place in chosen]
    return Rows(torch.tensor(index), tuple(len(chosen) for chosen in places))


@pytest.fixture
def parts():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = IJEPA(encoder, width=12, depth=2, heads=2, momentum=0.6)
    (view,) = toy_views(toy_batch([4, 9]), ("global",), encoder, noise=0.0)
    with torch.no_grad():
        objective.teacher.encoder.embed.weight.mul_(1.5)  # so that teacher and student differ
    return encoder, objective, replace(view, hidden=rows(HIDDEN), predict=tuple(rows(s) for s in SETS))


def test_equals_the_formula_written_out(parts):
    encoder, objective, view = parts
    teacher = objective.teacher.encoder(view.clean()).tokens
    errors = []
    for block in SETS:
        for sample in range(2):
            one = view.cut(sample, sample + 1)
            context = encoder(replace(one, predict=()), hide="drop")
            assert context.kept.index.tolist() == [i for i in range(16) if i not in HIDDEN[sample]]
            asked = Layout((len(block[sample]),), one.layout.position[list(block[sample])])
            predicted = objective.predictor(context.tokens, context.layout, [asked])
            target = teacher[[16 * sample + place for place in block[sample]]]
            target = (target - target.mean(1, keepdim=True)) / (target.var(1, correction=0, keepdim=True) + 1e-5) ** 0.5
            gap = (predicted - target).abs()
            errors.append(torch.where(gap < 1, gap**2 / 2, gap - 0.5))
    torch.testing.assert_close(objective(encoder, [view]).total, torch.cat(errors).mean())


def test_targets_have_no_scale_of_their_own():
    torch.manual_seed(0)
    predicted, teacher = torch.randn(5, 8), torch.randn(5, 8)
    torch.testing.assert_close(
        i_jepa_loss(predicted, 3 * teacher + 1), i_jepa_loss(predicted, teacher), rtol=1e-4, atol=0
    )


def test_hidden_content_reaches_the_loss_through_targets_alone(parts):
    encoder, objective, view = parts
    view.batch.x.requires_grad_()
    objective(encoder, [view]).total.backward()
    gradient = view.batch.x.grad.unfold(2, 2, 2).unfold(3, 2, 2).abs().sum((1, 4, 5)).flatten()
    hidden = view.hidden.flags(32)
    assert (gradient[hidden] == 0).all()
    assert (gradient[~hidden] > 0).all()


def test_the_teacher_moves_linearly_to_a_standstill(parts):
    encoder, objective, _ = parts
    before = objective.teacher.encoder.cls.clone()
    with torch.no_grad():
        encoder.cls += 1
    after_step(objective, encoder, Progress(5, 10))  # momentum 0.8 half way
    torch.testing.assert_close(objective.teacher.encoder.cls, before + 0.2)
    after_step(objective, encoder, Progress(10, 10))
    torch.testing.assert_close(objective.teacher.encoder.cls, before + 0.2)


@pytest.mark.parametrize(("dim", "width", "heads"), [(32, 64, 2), (192, 64, 2), (384, 192, 6), (768, 384, 12)])
def test_the_predictor_is_half_as_wide_as_the_encoder(dim, width, heads):
    encoder = nn.Linear(2, 2)
    encoder.dim = dim
    predictor = IJEPA(encoder, depth=1).predictor
    assert predictor.token.shape == (width,)
    assert predictor.blocks[0].self_attn.num_heads == heads
