"""GraphMAE, https://arxiv.org/abs/2205.10803: reconstruct the features of hidden nodes with a scaled cosine error.

The encoder sees a mask token at hidden nodes (and, at a few, another node's features: the mask component's ``swap``);
its output is set to zero there again before a one-layer GNN decoder. The decoder is asked for the hidden rows alone
where it can give just those, which halves its cost. Differs: the mean is over the hidden nodes of all ranks.

    # T packed rows, H predicted rows, C numbers of content in a row, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, MakeDecoder, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows


def scaled_cosine(predicted_HC: Tensor, content_HC: Tensor, power: float) -> Tensor:
    """``[H]``: (1 - cosine) ** power, which weighs easy rows down; a row of zeros has cosine 0."""
    cosine = F.cosine_similarity(full(predicted_HC), full(content_HC), dim=1, eps=1e-8)
    return (1 - cosine).clamp(min=0).pow(power)


def decode(decoder: Any, tokens_TD: Tensor, layout: Layout, index_H: Tensor) -> Tensor:
    """``[H, W]``: the decoder's output at ``index_H``, computed there alone where it can."""
    if getattr(decoder, "partial", False):
        return decoder(tokens_TD, layout, rows=index_H)
    return decoder(tokens_TD, layout)[index_H]


def check(name: str, decoder: MakeDecoder | None, content: int, power: float) -> None:
    """``ValueError`` for what the constructors of this family cannot work with."""
    if decoder is None:
        raise ValueError(f"{name} needs a decoder, found none: choose one with --decoder")
    if content < 1:
        raise ValueError(f"content has {content} numbers a row; {name} needs a tokenizer that gives node features")
    if power < 1:
        raise ValueError(f"power is {power}; it must be at least 1")


class GraphMAE(nn.Module):
    """Masked graph autoencoder.

    Args:
        power: of the scaled cosine error, at least 1; gamma in the paper, 3 on Cora.
    """

    def __init__(
        self, encoder: Any, decoder: MakeDecoder | None = None, content: int = 0, *, power: float = 3.0
    ) -> None:
        super().__init__()
        check("graphmae", decoder, content, power)
        assert decoder is not None
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, encoder=frozenset({"tokens", "mask"}))
        self.power = power
        self.bridge = nn.Linear(encoder.dim, encoder.dim, bias=False)
        self.decoder = decoder(dim=encoder.dim, width=content)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        return Loss(union_mean(torch.cat([self._rows(encoder, view) for view in views])))

    def _rows(self, encoder: Any, view: View) -> Tensor:
        assert view.layout is not None
        assert view.content is not None
        index = target_rows(view)
        again = self.bridge(encoder(view).tokens).index_fill(0, index, 0.0)
        return scaled_cosine(decode(self.decoder, again, view.layout, index), view.content[index], self.power)
