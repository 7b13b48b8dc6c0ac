"""MVGRL, https://arxiv.org/abs/2006.05582: nodes of one view against the graph of the other, adjacency and diffusion.

Scores cross the views: nodes seen through edges against the summary of the diffused graph, and the reverse. Where nodes
are the samples, negatives are the nodes with permuted features, as in DGI. Where graphs are, each node is compared with
all graphs of the batch, after a head for nodes and one for graphs that both views share, by the Jensen-Shannon
estimate; an encoder with ``jump: cat`` and ``pool: sum`` reads out all layers, as the paper's. The encoder tells the
views apart by their role: ``two_view`` has a network for each, any other encoder shares its weights. Differs: the whole
graph with a sparse diffusion takes the place of crops of 2,000 nodes with a dense one; the summary of nodes is a
sigmoid of the mean, without the paper's further layer, and their discriminator has no bias; nodes of graphs are read
out of all layers too.

    # T packed rows, G graphs, D features
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.discriminator import Head, dgi_loss, local_global_loss, locals_of, scores
from unlabeled.nn.distributed import gather
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision


class MVGRL(nn.Module):
    """Mutual information across views; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        spec, dim = getattr(encoder, "spec", None), encoder.dim
        self.of_graphs = spec is not None and spec.level == "graph"
        views = {"global": 1, "diffusion": 1} | ({} if self.of_graphs else {"corrupt": 1})
        self.needs = Needs(
            views=views,
            uses=("corrupt",) if self.of_graphs else (),
            encoder=frozenset({"tokens"} if self.of_graphs else {"tokens", "swap"}),
            batch=2 if self.of_graphs else 1,
            couples=True,
        )
        if self.of_graphs:
            self.local_head, self.global_head = Head(dim, dim), Head(dim, dim)
        else:
            bound = 1 / math.sqrt(dim)
            self.weight = nn.Parameter(torch.empty(dim, dim).uniform_(-bound, bound))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        roles = {view.role: view for view in views}
        pair = (roles["global"], roles["diffusion"])
        return self._graphs(encoder, pair) if self.of_graphs else self._nodes(encoder, pair, roles["corrupt"].swap)

    def _nodes(self, encoder: Any, pair: tuple[View, View], swap: Tensor | None) -> Loss:
        true = [encoder(view) for view in pair]
        false = [encoder(replace(view, swap=swap)) for view in pair]
        (local_a, mean_a, group), (local_b, mean_b, _) = (locals_of(features) for features in true)
        other_a, other_b = (locals_of(features)[0] for features in false)
        with full_precision(local_a):
            weight = full(self.weight)
            a, b = torch.sigmoid(full(mean_a)), torch.sigmoid(full(mean_b))
            crossed = ((local_a, other_a, b), (local_b, other_b, a))
            positive = torch.cat([scores(full(local), summary, weight, group) for local, _, summary in crossed])
            negative = torch.cat([scores(full(other), summary, weight, group) for _, other, summary in crossed])
            total = dgi_loss(positive, negative)
        return Loss(total, {"accuracy": torch.cat((positive > 0, negative < 0)).float().mean().detach()})

    def _graphs(self, encoder: Any, pair: tuple[View, View]) -> Loss:
        near, far = (encoder(view) for view in pair)
        terms = []
        for nodes, graphs in ((near, far), (far, near)):
            local, whole = self.local_head(nodes.tokens), self.global_head(graphs.pooled)
            with full_precision(local):
                own = own_rows(whole)[nodes.layout.group]
                terms.append(torch.stack(local_global_loss(full(local), gather(full(whole)), own)))
        positive, negative = torch.stack(terms).mean(0).unbind()
        return Loss(positive + negative, {"positive": positive.detach(), "negative": negative.detach()})
