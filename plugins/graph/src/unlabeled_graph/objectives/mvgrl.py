"""MVGRL, https://arxiv.org/abs/2006.05582: nodes of one view against the graph of the other, adjacency and diffusion.

Scores cross the views: nodes seen through edges against the summary of the diffused graph, and the reverse. Negatives
are the nodes of a graph with permuted features, as in DGI. Where samples are graphs, each node is compared with its own
graph. The encoder tells the views apart by their role: the ``two_view`` encoder has a network for each, any other
encoder shares its weights. Differs: the whole graph with a sparse diffusion takes the place of crops of 2,000 nodes
with a dense one; the summary is a sigmoid of the mean, without the paper's further layer.

    # T packed rows, G graphs, D features
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.discriminator import dgi_loss, locals_of, scores
from unlabeled.nn.precision import full, full_precision


class MVGRL(nn.Module):
    """Mutual information across views; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.needs = Needs(
            views={"global": 1, "diffusion": 1, "corrupt": 1}, encoder=frozenset({"tokens", "swap"}), couples=True
        )
        bound = 1 / math.sqrt(encoder.dim)
        self.weight = nn.Parameter(torch.empty(encoder.dim, encoder.dim).uniform_(-bound, bound))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        roles = {view.role: view for view in views}
        diffusion, corrupt = roles["diffusion"], roles["corrupt"]
        true = [encoder(view) for view in (roles["global"], diffusion)]
        false = [encoder(replace(view, swap=corrupt.swap)) for view in (roles["global"], diffusion)]
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
