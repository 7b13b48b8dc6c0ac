"""SSAST, https://arxiv.org/abs/2110.09784: at a hidden patch, tell its content from that of others, and restore it.

Joint loss: InfoNCE that matches the discriminative head's output with the patch itself, among the hidden patches of the
same spectrogram, plus lambda = 10 times the squared error of the generative head. SSAMBA, https://arxiv.org/abs/2405.11831,
is this loss under a bidirectional Mamba.

    # H hidden rows, G spectrograms, M hidden rows of one, C numbers of content in a row, D features
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, View
from unlabeled.errors import at_least
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import mlp
from unlabeled.nn.infonce import against
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.reconstruction import squared_error


def discriminative_loss(guess_HC: Tensor, content_HC: Tensor, layout: Layout) -> Tensor:
    """-log of the share of the true content among the hidden rows of its group: ``[H]`` (equation 1)."""
    guess, pad = layout.dense(full(guess_HC))
    content, _ = layout.dense(full(content_HC))
    with full_precision(guess):
        scores = guess @ content.mT
    truth = scores.diagonal(dim1=1, dim2=2)
    no_other = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    if pad is not None:
        no_other = no_other | pad[:, None]
    return layout.pack(against(scores.masked_fill(no_other, -math.inf).logsumexp(2), truth))


class SSAST(nn.Module):
    """Joint discriminative and generative masked patch modeling.

    Args:
        generative: weight of the squared error beside the InfoNCE, lambda.
    """

    cause = "too high a learning rate; reconstruction alone rarely collapses"

    def __init__(self, encoder: Any, content: int, *, generative: float = 10.0) -> None:
        super().__init__()
        at_least(0, generative=generative)
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, encoder=frozenset({"tokens", "mask"}))
        self.generative = generative
        self.tell = mlp((encoder.dim, encoder.dim, content), norm="none")
        self.restore = mlp((encoder.dim, encoder.dim, content), norm="none")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        told, restored = zip(*(self._rows(encoder, view) for view in views), strict=True)
        discriminative, error = union_mean(torch.cat(told)), union_mean(torch.cat(restored))
        parts = {"discriminative": discriminative.detach(), "generative": error.detach()}
        return Loss(discriminative + self.generative * error, parts)

    def _rows(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        assert view.content is not None
        assert view.hidden is not None
        hidden = view.hidden
        tokens, content = encoder(view, hide="mask").tokens[hidden.index], view.content[hidden.index]
        told = discriminative_loss(self.tell(tokens), content, Layout(hidden.lengths, hidden.index[:, None]))
        return told, squared_error(self.restore(tokens), content)
