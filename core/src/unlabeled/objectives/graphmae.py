"""GraphMAE, https://arxiv.org/abs/2205.10803: reconstruct the features of hidden nodes with a scaled cosine error.

The encoder sees a mask token at hidden nodes (and, at a few, another node's features: the mask component's ``swap``);
its output is set to zero there again before a one-layer GNN decoder, and stays as it is before one that reads no other
row. The decoder is asked for the hidden rows alone where it can give just those, which halves its cost. Differs: the
mean is over the hidden nodes of all ranks.

    # H predicted rows
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Capability, Loss, MakeDecoder, Needs, View
from unlabeled.errors import at_least
from unlabeled.nn.cosine import scaled_cosine
from unlabeled.nn.decoders import decode, mixes
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.rows import target_rows


class GraphMAE(nn.Module):
    """Masked graph autoencoder.

    Args:
        power: of the scaled cosine error, at least 1; gamma in the paper, 3 on Cora.
    """

    cause = "too high a learning rate; reconstruction alone rarely collapses"

    def __init__(self, encoder: Any, decoder: MakeDecoder, content: int, *, power: float = 3.0) -> None:
        super().__init__()
        at_least(1, power=power)
        can: frozenset[Capability] = frozenset({"tokens", "mask"})
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, decoder=True, encoder=can)
        self.power = power
        self.bridge = nn.Linear(encoder.dim, encoder.dim, bias=False)
        self.decoder = decoder(dim=encoder.dim, width=content)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        return Loss(union_mean(torch.cat([self._rows(encoder, view) for view in views])))

    def _rows(self, encoder: Any, view: View) -> Tensor:
        assert view.layout is not None
        assert view.content is not None
        index = target_rows(view)
        again = self.bridge(encoder(view).tokens)
        if mixes(self.decoder):
            again = again.index_fill(0, index, 0.0)
        return scaled_cosine(decode(self.decoder, again, view.layout, index), view.content[index], self.power)
