"""data2vec against its formula written out, its layer norms, and its teacher."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Features, Layout, Progress
from unlabeled.nn.clock import after_step
from unlabeled.nn.layers import average_layers, instance_norm, last_layers
from unlabeled.objectives.data2vec import Data2Vec, data2vec_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views


def ragged(lengths):
    return Layout(tuple(lengths), torch.zeros(sum(lengths), 1))


def features(tokens, layout):
    return Features(tokens, layout, layout.mean(tokens))


@pytest.mark.parametrize("lengths", [[6, 6, 6], [9, 2, 7]])
def test_instance_norm_is_torchs_over_the_rows_of_each_group(lengths):
    x, layout = torch.randn(18, 5, generator=torch.Generator().manual_seed(0)), ragged(lengths)
    expected = torch.cat([F.instance_norm(part.T[None])[0].T for part in x.split(lengths)])
    torch.testing.assert_close(instance_norm(x, layout), expected, rtol=1e-4, atol=1e-5)


def test_a_group_of_one_row_has_a_target_of_zero_under_instance_norm():
    assert torch.equal(instance_norm(torch.randn(1, 4), ragged([1])), torch.zeros(1, 4))


@pytest.mark.parametrize("norm", ["layer", "instance", "none"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_equals_the_formula_written_out(norm, beta):
    torch.manual_seed(0)
    encoder = ToyEncoder(depth=3)
    objective = Data2Vec(encoder, layers=2, norm=norm, beta=beta)
    with torch.no_grad():
        objective.teacher.encoder.embed.weight.mul_(1.5)
    (view,) = toy_views(toy_batch(range(3)), ("global",), encoder, noise=0.0)
    view = toy_hide(view, 7)
    errors = []
    for sample in range(3):
        one = view.cut(sample, sample + 1)
        blocks = objective.teacher.encoder(one.clean(), layers=(1, 2)).layers  # the last two of three
        target = torch.zeros(16, 8)
        for block in blocks:
            x, over = block.tokens, {"layer": 1, "instance": 0, "none": None}[norm]
            if over is not None:
                x = (x - x.mean(over, keepdim=True)) / (x.var(over, correction=0, keepdim=True) + 1e-5) ** 0.5
            target += x / 2
        predicted = objective.head(encoder(one, hide="mask").tokens)
        gap = (predicted - target)[one.hidden.index].abs()
        errors.append(gap**2 if beta == 0 else torch.where(gap <= beta, gap**2 / (2 * beta), gap - beta / 2))
    torch.testing.assert_close(objective(encoder, [view]).total, torch.cat(errors).mean())


def test_the_loss_is_squared_near_zero_and_absolute_far_away():
    loss = data2vec_loss(torch.tensor([[1.0], [5.0]]), torch.zeros(2, 1), beta=2.0)
    assert loss.tolist() == [0.25, 4.0]
    assert data2vec_loss(torch.tensor([[5.0]]), torch.zeros(1, 1), beta=0).item() == 25


def test_a_pyramid_is_refused_and_so_are_more_layers_than_there_are():
    wide, narrow = features(torch.randn(8, 4), ragged([4, 4])), features(torch.randn(2, 8), ragged([1, 1]))
    with pytest.raises(ValueError, match=r"8 x 4, 2 x 8\): lower --objective.layers"):
        average_layers([wide, narrow], "layer")
    encoder = ToyEncoder(depth=2)
    (view,) = toy_views(toy_batch(range(2)), ("global",), encoder)
    with pytest.raises(ValueError, match="layers is 3, more than the encoder has"):
        Data2Vec(encoder, layers=3)(encoder, [toy_hide(view, 4)])


def test_the_teacher_sees_all_and_has_no_dropout():
    torch.manual_seed(0)
    encoder = ToyEncoder(dropout=0.5)
    objective = Data2Vec(encoder, layers=1)
    (view,) = toy_views(toy_batch(range(2)), ("global",), encoder)
    view = toy_hide(view, 4)
    parts = [objective.train()(encoder, [view]).parts["target_std"] for _ in range(2)]
    assert torch.equal(*parts)
    assert objective.head.training
    assert not objective.teacher.encoder.training
    (seen,) = last_layers(objective.teacher.encoder, view, 1)
    assert torch.equal(seen.tokens, objective.teacher.encoder(view.clean()).tokens)


def test_momentum_rises_linearly_and_then_stays():
    encoder = ToyEncoder()
    objective = Data2Vec(encoder, layers=1, momentum=0.5, final_momentum=0.9, ramp=0.2)
    for step, momentum in ((0, 0.5), (1, 0.7), (2, 0.9), (10, 0.9)):
        with torch.no_grad():
            encoder.cls.copy_(objective.teacher.encoder.cls + 1)
        before = objective.teacher.encoder.cls.clone()
        after_step(objective, encoder, Progress(step, 10))
        torch.testing.assert_close(objective.teacher.encoder.cls, before + 1 - momentum)
