"""Augmentation-invariant units, https://arxiv.org/abs/2209.15483: say the clean clip's units from an altered one.

The k-means units of a clean clip, with repetitions taken out, are the target of a CTC head on the altered clip, whose
time may run at another pace. Probe ``units`` has the paper's metric: how far units of the altered clip are from those
of the clean one. Iterating, what the head says is the next target (tokenizer ``codes`` with ``run``). In the paper the
encoder is a trained one and stays as it is: that is ``frozen``, with ``--init``. Without it the encoder trains with the
head, so that the recipe also starts from nothing.

    # T packed frames, G clips, L frames of the longest, C units, U units of a clip without repetitions
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Layout, Loss, Needs, View, role
from unlabeled.errors import above
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import mlp
from unlabeled.nn.precision import full, full_precision
from unlabeled.transfer import numbers, which


def without_repeats(ids_T: Tensor, layout: Layout) -> list[Tensor]:
    """The units of each group, each run of equal ones said once."""
    first = layout.within == 0
    kept = first | (ids_T != ids_T.roll(1))
    counts = torch.zeros_like(layout.counts).index_add_(0, layout.group, kept.long()).tolist()  # CTC asks for them
    return list(ids_T[which(kept, sum(counts))].split(counts))


def ctc_loss(scores_TX: Tensor, layout: Layout, targets: Sequence[Tensor]) -> Tensor:
    """CTC of each clip against its units, over their number: ``[G]``; the last score is the blank's.

    A clip with too few frames for its units has loss 0.
    """
    scores, _ = layout.dense(full(scores_TX))
    blank = scores.shape[-1] - 1
    frames = torch.tensor(layout.lengths)  # on the host, as CTC takes them
    units = torch.tensor([len(t) for t in targets])
    with full_precision(scores):
        logs = F.log_softmax(scores, dim=-1).transpose(0, 1)
        loss = F.ctc_loss(logs, torch.cat(list(targets)), frames, units, blank, "none", zero_infinity=True)
    return loss / numbers([max(1, len(t)) for t in targets], loss.device)


class InvariantUnits(nn.Module):
    """CTC of an altered view against the units of the clean one.

    Args:
        hidden: width of the quantizer's hidden layer.
        frozen: train the quantizer alone, on features of the encoder as it is, without dropout.
    """

    def __init__(self, encoder: Any, vocabulary: int, *, hidden: int = 256, frozen: bool = False) -> None:
        super().__init__()
        above(0, hidden=hidden)
        self.needs = Needs(views={"source": 1, "altered": 1}, vocabulary=2, encoder=frozenset({"tokens"}))
        self.vocabulary, self.frozen = vocabulary, frozen
        if frozen:
            encoder.requires_grad_(False)
        self.quantizer = mlp((encoder.dim, hidden, vocabulary + 1), norm="layer")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source = role(views, "source")[0]
        assert source.ids is not None
        assert source.layout is not None
        ids = source.ids.reshape(len(source.ids), -1)[:, 0]
        targets = without_repeats(ids, source.layout)
        losses = []
        for view in role(views, "altered"):
            features = self._features(encoder, view)
            losses.append(ctc_loss(self.quantizer(features.tokens), features.layout, targets))
        return Loss(union_mean(torch.cat(losses)), {})

    def _features(self, encoder: Any, view: View) -> Features:
        if not self.frozen:
            return encoder(view)
        training = encoder.training
        encoder.eval()
        with torch.no_grad():
            found = encoder(view)
        encoder.train(training)
        return found
