"""Deep Graph Infomax, https://arxiv.org/abs/1809.10341: tell a graph's nodes from those of a corrupted graph.

A bilinear discriminator scores each node against the summary of its graph. The corruption keeps the edges and permutes
the features (a view of role ``corrupt``). Differs: see :mod:`unlabeled.nn.discriminator`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.nn.discriminator import dgi_loss, locals_of, scores
from unlabeled.nn.precision import full, full_precision


class DGI(nn.Module):
    """Mutual information between nodes and their graph; it has no settings."""

    cause = "a corruption that the discriminator tells without the features, or too high a learning rate"

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 1, "corrupt": 1}, encoder=frozenset({"tokens", "swap"}), couples=True)
        bound = 1 / math.sqrt(encoder.dim)
        self.weight = nn.Parameter(torch.empty(encoder.dim, encoder.dim).uniform_(-bound, bound))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        true, false = (role(views, name)[0] for name in ("global", "corrupt"))
        local, mean, group = locals_of(encoder(true))
        other = locals_of(encoder(false))[0]
        with full_precision(local):
            weight, summary = full(self.weight), torch.sigmoid(full(mean))
            positive = scores(full(local), summary, weight, group)
            negative = scores(full(other), summary, weight, group)
            total = dgi_loss(positive, negative)
        accuracy = torch.cat((positive > 0, negative < 0)).float().mean()
        return Loss(total, {"accuracy": accuracy})
