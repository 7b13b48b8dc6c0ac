"""InfoGraph, https://arxiv.org/abs/1908.01000: tell a graph's own nodes from those of the batch's other graphs.

The Jensen-Shannon estimate of mutual information between nodes (local) and graphs (global), with every other pair of
the batch as negative. Scores are one matrix product; own pairs are picked by index, where other codes fill masks node
by node. Where samples are nodes of one graph, a sample's global vector is the mean over its neighborhood.

    # T packed rows, G graphs of all ranks, g graphs of this rank, E edges, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Layout, Loss, Needs, View, role
from unlabeled.errors import at_least
from unlabeled.nn.discriminator import Head, local_global_loss
from unlabeled.nn.distributed import gather
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision


def neighborhood(tokens_TD: Tensor, layout: Layout) -> Tensor:
    """``[B, D]``: the mean over each seed and its in-neighbors."""
    assert layout.edges is not None
    assert layout.seeds is not None
    source, target = layout.edges
    total = tokens_TD.index_add(0, target, tokens_TD[source])
    count = torch.ones(len(tokens_TD), device=target.device).index_add(0, target, torch.ones_like(target).float())
    return (total / count[:, None].to(total.dtype))[layout.seeds]


class InfoGraph(nn.Module):
    """Mutual information between nodes and graphs.

    Args:
        width: of the heads of nodes and graphs; 0 = the encoder's, as in the paper.
    """

    cause = "graphs that are told apart by their size alone, or too high a learning rate"

    def __init__(self, encoder: Any, *, width: int = 0) -> None:
        super().__init__()
        at_least(0, width=width)
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}), batch=2, couples=True)
        width = width or encoder.dim
        self.local_head, self.global_head = Head(encoder.dim, width), Head(encoder.dim, width)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pairs = [self._pair(encoder(view)) for view in role(views, "global")]
        positive, negative = (torch.stack(terms).mean() for terms in zip(*pairs, strict=True))
        return Loss(positive + negative, {"positive": positive.detach(), "negative": negative.detach()})

    def _pair(self, features: Features) -> tuple[Tensor, Tensor]:
        if features.layout.seeds is None:
            local, whole, group = features.tokens, features.pooled, features.layout.group
        else:
            local, whole = features.pooled, neighborhood(features.tokens, features.layout)
            group = torch.arange(len(local), device=local.device)
        local, whole = self.local_head(local), self.global_head(whole)
        with full_precision(local):
            return local_global_loss(full(local), gather(full(whole)), group + own_rows(whole)[0])
