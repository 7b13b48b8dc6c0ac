"""GRACE, https://arxiv.org/abs/2006.04131: a node's two views against all other nodes of both views.

The denominator holds the positive, the other view's nodes and the own view's other nodes, which is NT-Xent over the 2B
projections. GCA (https://arxiv.org/abs/2010.14945) is this objective under views that spare what is important.
Differs: the similarity matrix is computed in chunks of rows, so memory grows with B and not with its square.

    # B samples, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.nn.precision import full_precision


class GRACE(nn.Module):
    """Contrast nodes between and within two views.

    Args:
        hidden: width of the projection head's hidden layer; 128 on Cora.
        dim: width of the projection; 128 on Cora.
        temperature: of the softmax over similarities, above 0; tau, 0.4 on Cora.
        chunk: rows of the similarity matrix held at a time; 0 = all.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, hidden: int = 128, dim: int = 128, temperature: float = 0.4, chunk: int = 1024
    ) -> None:
        super().__init__()
        above(0, hidden=hidden, dim=dim, temperature=temperature)
        at_least(0, chunk=chunk)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature, self.chunk = temperature, chunk
        self.projector = nn.Sequential(nn.Linear(encoder.dim, hidden), nn.ELU(), nn.Linear(hidden, dim))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            units = [unit(z_BD) for z_BD in z]
            pairs = [nt_xent(a, b, self.temperature, chunk=self.chunk) for a, b in combinations(units, 2)]
            total = torch.stack(pairs).mean()
        return Loss(total, {"nt_xent": total.detach()})
