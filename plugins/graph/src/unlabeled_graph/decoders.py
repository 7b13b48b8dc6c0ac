"""Decoders of hidden nodes: one layer over the graph (GCN, GAT, GIN), or none (MLP), that can give some rows alone.

GraphMAE, https://arxiv.org/abs/2205.10803. The loss reads hidden rows only, and a layer's linear map commutes with its
sum over neighbors: so neighbors are summed at the narrow width, for the rows that are asked for, and only those are
projected to the wide features. On Cora that is half of the rows at 512 instead of 1,433 features.

    # T rows, H rows that are asked for, E edges, D features in, W numbers out
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.errors import above, at_least, below_one
from unlabeled_graph.ops.adjacency import Adjacency, adjacency_in
from unlabeled_graph.ops.convolutions import attention_of
from unlabeled_graph.ops.sparse import Pattern, product


def restrict(edges: Adjacency, rows_H: Tensor) -> tuple[Pattern, Tensor]:
    """The rows ``rows[H]`` of an adjacency ``[H, T]``, and which edges ``[N]`` they hold."""
    starts, counts = edges.pattern.offsets[rows_H], edges.pattern.offsets.diff()[rows_H]
    offsets = F.pad(counts.cumsum(0), (1, 0))
    total = int(offsets[-1])
    shift = (starts - offsets[:-1]).repeat_interleave(counts, output_size=total)
    entry = torch.arange(total, device=rows_H.device) + shift
    return Pattern(offsets, edges.pattern.columns[entry], edges.pattern.width), entry


class GCNDecoder(nn.Module):
    """One graph convolution; it has no settings."""

    partial = True

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, width)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, tokens: Tensor, layout: Layout, rows: Tensor | None = None) -> Tensor:
        """``[T, W]``, or ``[H, W]`` of ``rows[H]``."""
        edges = adjacency_in(layout)
        if rows is None:
            return self.project(edges.normalized(tokens))
        values, loops = edges.gcn
        pattern, entry = restrict(edges, rows)
        mixed = product(pattern, values[entry], tokens) + loops[rows, None].to(tokens.dtype) * tokens[rows]
        return self.project(mixed)


class GINDecoder(nn.Module):
    """One layer of a graph isomorphism network.

    Args:
        hidden: width inside the layer; 0 = as wide as the encoder's features.
    """

    partial = True

    def __init__(self, dim: int, width: int, *, hidden: int = 0) -> None:
        super().__init__()
        at_least(0, hidden=hidden)
        inner = hidden or dim
        self.network = nn.Sequential(nn.Linear(dim, inner), nn.ReLU(), nn.Linear(inner, width))

    def forward(self, tokens: Tensor, layout: Layout, rows: Tensor | None = None) -> Tensor:
        """``[T, W]``, or ``[H, W]`` of ``rows[H]``."""
        edges = adjacency_in(layout)
        if rows is None:
            return self.network(edges.sum(tokens) + tokens)
        pattern, entry = restrict(edges, rows)
        return self.network(product(pattern, edges.ones[entry], tokens) + tokens[rows])


class GATDecoder(nn.Module):
    """One graph attention layer with one head.

    Args:
        slope: of the leaky ReLU below 0, before the softmax.
        dropout: share of what the layer reads that is dropped in training, in [0, 1).
        attention_dropout: share of the attention weights that are dropped in training, in [0, 1).
        gain: of a normal initialization of weights and attention (Glorot); 0 = a uniform one. GraphMAE has 1.414.
    """

    partial = True

    def __init__(
        self,
        dim: int,
        width: int,
        *,
        slope: float = 0.2,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        gain: float = 0.0,
    ) -> None:
        super().__init__()
        below_one(dropout=dropout, attention_dropout=attention_dropout)
        above(-1e-12, gain=gain)
        self.slope = slope
        self.dropout, self.attention_dropout = nn.Dropout(dropout), nn.Dropout(attention_dropout)
        self.project = nn.Linear(dim, width)
        self.source = nn.Parameter(torch.empty(1, width))
        self.target = nn.Parameter(torch.empty(1, width))
        nn.init.zeros_(self.project.bias)
        for weight in (self.project.weight, self.source[None], self.target[None]):
            if gain:
                nn.init.xavier_normal_(weight, gain)
            else:
                nn.init.xavier_uniform_(weight)

    def forward(self, tokens: Tensor, layout: Layout, rows: Tensor | None = None) -> Tensor:
        """``[T, W]``, or ``[H, W]`` of ``rows[H]``."""
        edges, tokens = adjacency_in(layout), self.dropout(tokens)
        # what attention reads is linear in the projection, so it is read before it
        source = tokens @ (self.project.weight.T @ self.source.T)
        target = tokens @ (self.project.weight.T @ self.target.T)
        alpha_E1, loop_T1 = attention_of(source, target, edges, self.slope)
        alpha_E, loop_T = self.attention_dropout(alpha_E1[:, 0]), self.attention_dropout(loop_T1[:, 0])
        if rows is None:
            mixed = product(edges.directed, alpha_E, tokens) + loop_T[:, None] * tokens
        else:
            pattern, entry = restrict(edges, rows)
            mixed = product(pattern, alpha_E[entry], tokens) + loop_T[rows, None] * tokens[rows]
        return self.project(mixed)


class MLPDecoder(nn.Module):
    """A perceptron on each row, without its neighbors: where hidden rows kept what the encoder gave them.

    Args:
        hidden: width of the hidden layer; 0 = as wide as the encoder's features.
        depth: number of layers; 1 = a linear map.
    """

    partial = True
    mixes = False

    def __init__(self, dim: int, width: int, *, hidden: int = 0, depth: int = 2) -> None:
        super().__init__()
        at_least(0, hidden=hidden)
        at_least(1, depth=depth)
        inner = hidden or dim
        parts: list[nn.Module] = []
        for number in range(depth):
            parts.append(nn.Linear(dim if number == 0 else inner, width if number == depth - 1 else inner))
            if number < depth - 1:
                parts.append(nn.PReLU())
        self.network = nn.Sequential(*parts)

    def forward(self, tokens: Tensor, layout: Layout, rows: Tensor | None = None) -> Tensor:
        """``[T, W]``, or ``[H, W]`` of ``rows[H]``."""
        return self.network(tokens if rows is None else tokens[rows])
