"""The edges of a batch as a sparse matrix, and the ways in which encoders sum over neighbors.

# T rows, E directed edges, D features
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unlabeled.contract import Layout, computed_once
from unlabeled_graph.batch import GraphBatch, sort_edges
from unlabeled_graph.ops.sparse import Pattern, offsets_of, product


@dataclass(frozen=True, eq=False)
class Adjacency:
    """``[T, T]``: row t has an entry for each edge into t. ``weight[E]`` are its values, None = 1."""

    pattern: Pattern
    weight: Tensor | None = None

    @property
    def total(self) -> int:
        return len(self.pattern)

    @computed_once
    def ones(self) -> Tensor:
        """``[E]``: the weights, or 1."""
        if self.weight is not None:
            return self.weight
        return torch.ones(len(self.pattern.columns), device=self.pattern.columns.device)

    @computed_once
    def degree(self) -> Tensor:
        """``[T]``: the weights of the edges into each row, summed."""
        if self.weight is None:
            return self.pattern.offsets.diff().float()
        return self.weight.new_zeros(self.total).index_add_(0, self.pattern.rows, self.weight)

    @computed_once
    def gcn(self) -> tuple[Tensor, Tensor]:
        """``D^-1/2 (A + I) D^-1/2`` (GCN, https://arxiv.org/abs/1609.02907): edges ``[E]`` and loops ``[T]``."""
        scale = (self.degree + 1.0).rsqrt()
        return self.ones * scale[self.pattern.rows] * scale[self.pattern.columns], scale * scale

    @computed_once
    def directed(self) -> Pattern:
        """The pattern for values that differ between the two directions of a link."""
        return Pattern(self.pattern.offsets, self.pattern.columns, self.pattern.width)

    def normalized(self, h_TD: Tensor) -> Tensor:
        """The symmetrically normalized sum over neighbors and self: ``[T, D]``."""
        values, loops = self.gcn
        return product(self.pattern, values, h_TD) + loops.to(h_TD.dtype)[:, None] * h_TD

    def sum(self, h_TD: Tensor) -> Tensor:
        """The weighted sum over neighbors: ``[T, D]``."""
        return product(self.pattern, self.ones, h_TD)

    def mean(self, h_TD: Tensor) -> Tensor:
        """The weighted mean over neighbors, 0 where there are none: ``[T, D]``."""
        # scaled after the sum, so that the summed matrix stays symmetric and needs no transposed copy
        return self.sum(h_TD) / self.degree.clamp(min=1e-12).to(h_TD.dtype)[:, None]


def build(edges: Tensor, total: int, weight: Tensor | None = None, symmetric: bool = False) -> Adjacency:
    """Of edges in any order."""
    edges, order = sort_edges(edges, total)
    if order is not None and weight is not None:
        weight = weight[order]
    return Adjacency(Pattern(offsets_of(edges[1], total), edges[0], total, symmetric), weight)


def adjacency_of(batch: GraphBatch) -> Adjacency:
    """Of a batch; worked out once for a graph that many steps share."""
    if "adjacency" not in batch.memo:
        batch.memo["adjacency"] = build(batch.edges, batch.total, batch.weight, batch.symmetric)
    found: Adjacency = batch.memo["adjacency"]
    return found


def adjacency_in(layout: Layout) -> Adjacency:
    """Of a layout, whose edges carry no weights: for decoders."""
    assert layout.edges is not None, "a graph decoder needs the layout's edges"
    found = layout.__dict__.get("_adjacency")
    if found is None:
        found = build(layout.edges, layout.total)
        layout.__dict__["_adjacency"] = found  # a frozen dataclass, and its cached properties live there too
    return found
