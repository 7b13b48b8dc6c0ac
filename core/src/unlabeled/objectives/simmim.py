"""SimMIM, https://arxiv.org/abs/2111.09886: mask tokens in the encoder, a linear head, L1 on hidden content.

Differs: content is whatever the domain's tokenizer gives; the mean is over hidden rows exactly, where the authors' code
adds 1e-5 to their number.

    # T packed rows, H hidden rows, C numbers of content in a row, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows


def simmim_loss(predicted_HC: Tensor, content_HC: Tensor) -> Tensor:
    """Mean absolute error of each hidden row: ``[H]``."""
    return (full(predicted_HC) - full(content_HC)).abs().mean(-1)


class SimMIM(nn.Module):
    """Masked image modeling with the simplest head; it has no settings."""

    cause = "too high a learning rate; reconstruction alone rarely collapses"

    def __init__(self, encoder: Any, content: int) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, encoder=frozenset({"tokens", "mask"}))
        self.head = nn.Linear(encoder.dim, content)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        return Loss(union_mean(torch.cat([self._rows(encoder, view) for view in views])))

    def _rows(self, encoder: Any, view: View) -> Tensor:
        assert view.content is not None
        index = target_rows(view)
        return simmim_loss(self.head(encoder(view, hide="mask").tokens[index]), view.content[index])
