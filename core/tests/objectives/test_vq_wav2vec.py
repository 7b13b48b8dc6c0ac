"""vq-wav2vec: future codes told from those of other frames, from a context that knows no future; two quantizers."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Progress
from unlabeled.draw import Draw
from unlabeled.nn.chance import draw_at, draw_others
from unlabeled.nn.codebooks import gumbel_noise
from unlabeled.objectives.vq_wav2vec import CausalContext, VQWav2Vec, future_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views

SMALL = {"width": 6, "groups": 2, "entries": 5, "steps": 3, "negatives": 4, "depth": 2, "kernel": 3}


def written_out(predicted, code, place, ahead):
    """Of one clip ``[L, W]``: each frame that has a future, its truth near and others far."""
    losses = []
    for t in range(len(code) - ahead):
        truth = -F.logsigmoid(predicted[t] @ code[t + ahead])
        others = sum(-F.logsigmoid(-(predicted[t] @ code[j])) for j in place[t + ahead])
        losses.append(truth + others)
    return losses


def test_future_loss_written_out():
    torch.manual_seed(0)
    lengths, ahead = (6, 3), 2
    predicted, code = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    place = draw_others(Draw(0, 0, torch.arange(2)), lengths, 5)
    losses = [x for c, n in enumerate(lengths) for x in written_out(predicted[c], code[c, :n], place[c], ahead)]
    torch.testing.assert_close(future_loss(predicted, code, place, lengths, ahead), torch.stack(losses))
    for beyond in (6, 7):
        predicted.requires_grad_()
        none = future_loss(predicted, code, place, lengths, beyond)
        none.sum().backward()
        assert len(none) == 0
        assert not predicted.grad.any(), "the weights take part all the same"


def test_others_are_all_rows_of_the_group_but_the_truth():
    lengths = (6, 3, 1)
    place = draw_others(Draw(0, 0, torch.arange(3)), lengths, 400)
    for group, length in enumerate(lengths[:2]):
        for t in range(length):
            assert set(place[group, t].tolist()) == set(range(length)) - {t}


def test_a_layer_of_the_context_adds_to_what_it_reads():
    torch.manual_seed(0)
    context, x = CausalContext(4, 1, 2), torch.randn(1, 3, 4)
    weight, norm = context.convolutions[0], context.norms[0]
    before = torch.cat((torch.zeros(1, 1, 4), x[:, :-1]), 1)
    mixed = before @ weight.weight[:, :, 0].T + x @ weight.weight[:, :, 1].T + weight.bias
    torch.testing.assert_close(context(x), x + F.relu(norm(mixed)))


def test_the_context_knows_no_future():
    torch.manual_seed(0)
    context, x = CausalContext(4, 3, 3), torch.randn(1, 10, 4)
    changed = x.clone()
    changed[:, 6:] += 1
    before, after = context(x), context(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("quantizer", ["gumbel", "kmeans"])
@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_that_of_codes_ahead_and_of_what_draws_frames_to_them(quantizer, training):
    torch.manual_seed(0)
    encoder = ToyEncoder(3)
    objective = VQWav2Vec(encoder, quantizer=quantizer, **SMALL).train(training)
    objective.clock.advance(Progress(7, 10))
    views = toy_views(toy_batch([3, 8], (7, 3)), ("global", "global"), encoder)
    losses, latent = [], []
    for number, view in enumerate(views):
        draw, layout = draw_at(torch.tensor(7), view.batch.ids, number), view.layout
        x, place = encoder(view).tokens, draw_others(draw, layout.lengths, 4)
        if quantizer == "gumbel":
            noise = gumbel_noise(draw, layout.group, layout.within, 10) if training else None
            codes = objective.quantizer(x, noise)[0]
        else:
            codes, _, drawn = objective.quantizer(x)
            latent.append(drawn)
        for clip, code in enumerate(codes.split(7)):
            context = objective.context(code[None])[0]
            for ahead, predict in enumerate(objective.predict, start=1):
                losses += written_out(predict(context), code, place[clip], ahead)
    expected = torch.stack(losses).mean() + (torch.cat(latent).mean() if latent else 0)
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, expected)
    assert 1 <= found.parts["code_perplexity"] <= 5
    assert ("latent" in found.parts) == (quantizer == "kmeans")


def test_choices_grow_colder():
    objective = VQWav2Vec(ToyEncoder(3), gumbel_start=2.0, gumbel_end=0.5, gumbel_decay=0.5, **SMALL)
    assert objective.quantizer.temperature == 2
    for step, wanted in ((1, 1.0), (5, 0.5)):
        objective.after_step(None, Progress(step, 10))
        assert objective.quantizer.temperature == wanted
    VQWav2Vec(ToyEncoder(3), quantizer="kmeans", **SMALL).after_step(None, Progress(1, 10))
