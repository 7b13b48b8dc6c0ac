"""vq-wav2vec: future codes told from others of the clip, from a context that knows no future."""

import torch
import torch.nn.functional as F

from unlabeled.contract import Layout
from unlabeled.draw import Draw
from unlabeled.objectives.vq_wav2vec import CausalContext, draw_negatives, future_loss


def test_future_loss_written_out():
    torch.manual_seed(0)
    lengths, ahead = (6, 3), 2
    predicted, code = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    place = draw_negatives(Draw(0, 0, torch.arange(2)), Layout(lengths, torch.zeros(9, 1)), 5)
    losses = []
    for clip, length in enumerate(lengths):
        for t in range(length - ahead):
            h = predicted[clip, t]
            truth = -F.logsigmoid(h @ code[clip, t + ahead])
            others = sum(-F.logsigmoid(-(h @ code[clip, j])) for j in place[clip, t + ahead])
            losses.append(truth + others)
    torch.testing.assert_close(future_loss(predicted, code, place, lengths, ahead), torch.stack(losses))
    assert place[1, :3].max() <= 2
    assert len(future_loss(predicted, code, place, lengths, 6)) == 0


def test_the_context_knows_no_future():
    torch.manual_seed(0)
    context, x = CausalContext(4, 3, 3), torch.randn(1, 10, 4)
    changed = x.clone()
    changed[:, 6:] += 1
    before, after = context(x), context(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])
