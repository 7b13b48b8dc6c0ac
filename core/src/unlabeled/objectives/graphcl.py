"""GraphCL, https://arxiv.org/abs/2010.13902: a graph's two views against the other graphs of the batch.

The paper's loss leaves the positive pair out of the denominator, unlike NT-Xent, and compares across views alone.
Differs: averages both directions, where the authors' code takes one; computed in log space and in chunks of rows.

    # B samples of all ranks, b samples of this rank, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import contrast, own_rows
from unlabeled.nn.precision import full_precision


def graphcl_loss(a_bD: Tensor, b_bD: Tensor, temperature: float, *, chunk: int = 0) -> Tensor:
    """Of unit vectors: mean of log sum_{j != i} exp(a_i b_j / t) - a_i b_i / t, over both directions."""
    own = own_rows(a_bD)[:, None]
    positive = (a_bD * b_bD).sum(1) / temperature
    sides = [
        contrast(queries, gather(keys), positive, temperature, exclude_RE=own, chunk=chunk, decoupled=True)
        for queries, keys in ((a_bD, b_bD), (b_bD, a_bD))
    ]
    return torch.stack(sides).mean()


class GraphCL(nn.Module):
    """Contrast graphs under two augmentations.

    Args:
        projector: widths of the projection head, hidden and output; two layers as wide as the encoder in the paper.
        temperature: of the softmax over similarities, above 0; tau, 0.2 in the paper.
        chunk: rows of the similarity matrix held at a time; 0 = all.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (128, 128), temperature: float = 0.2, chunk: int = 1024
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, chunk=chunk)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature, self.chunk = temperature, chunk
        self.projector = mlp((encoder.dim, *projector), norm="none")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            units = [unit(z_BD) for z_BD in z]
            pairs = [graphcl_loss(a, b, self.temperature, chunk=self.chunk) for a, b in combinations(units, 2)]
            total = torch.stack(pairs).mean()
        return Loss(total, {"info_nce": total.detach()})
