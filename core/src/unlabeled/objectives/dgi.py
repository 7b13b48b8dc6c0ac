"""Deep Graph Infomax, https://arxiv.org/abs/1809.10341: tell a graph's nodes from those of a corrupted graph.

A bilinear discriminator scores each node against the summary of its graph. The corruption keeps the edges and permutes
the features (a view of role ``corrupt``). Where samples are nodes of one graph, its summary is the mean of the samples
of all ranks; where they are graphs, each graph has its own. Differs: the loss is binary cross-entropy of logits, so a
sure discriminator still has a gradient (``log(sigmoid + 1e-15)`` has none).

    # B samples, T packed rows, D features
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, Needs, View
from unlabeled.nn.distributed import mean_over_ranks, union_mean
from unlabeled.nn.precision import full, full_precision


def scores(local_TD: Tensor, summary_GD: Tensor, weight_DD: Tensor, group_T: Tensor | None) -> Tensor:
    """``[T]`` logits h W s: each row against the summary of its group; ``group_T`` None = there is one summary."""
    towards_GD = summary_GD @ weight_DD.T
    if group_T is None:
        return local_TD @ towards_GD[0]
    return (local_TD * towards_GD[group_T]).sum(1)


def dgi_loss(positive_T: Tensor, negative_T: Tensor) -> Tensor:
    """Binary cross-entropy of logits, averaged over true and corrupted nodes of all ranks."""
    return union_mean(torch.cat((F.softplus(-full(positive_T)), F.softplus(full(negative_T)))))


def locals_of(features: Features) -> tuple[Tensor, Tensor, Tensor | None]:
    """Node features, the mean of each graph's, and each node's graph (None = one graph)."""
    if features.layout.seeds is not None:
        return features.pooled, mean_over_ranks(features.pooled.mean(0, keepdim=True)), None
    return features.tokens, features.layout.mean(features.tokens), features.layout.group


class DGI(nn.Module):
    """Mutual information between nodes and their graph; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 1, "corrupt": 1}, encoder=frozenset({"tokens", "swap"}), couples=True)
        bound = 1 / math.sqrt(encoder.dim)
        self.weight = nn.Parameter(torch.empty(encoder.dim, encoder.dim).uniform_(-bound, bound))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        true, false = (next(view for view in views if view.role == role) for role in ("global", "corrupt"))
        local, mean, group = locals_of(encoder(true))
        other = locals_of(encoder(false))[0]
        with full_precision(local):
            weight, summary = full(self.weight), torch.sigmoid(full(mean))
            positive = scores(full(local), summary, weight, group)
            negative = scores(full(other), summary, weight, group)
            total = dgi_loss(positive, negative)
        accuracy = torch.cat((positive > 0, negative < 0)).float().mean()
        return Loss(total, {"accuracy": accuracy.detach()})
