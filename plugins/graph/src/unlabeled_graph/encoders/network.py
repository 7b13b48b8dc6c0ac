"""The network of all graph encoders: layers of one kind with norms, activations, skips, jumping knowledge and pooling.

Jumping knowledge, https://arxiv.org/abs/1806.03536. Hidden rows show a learned token in place of their features,
before the first layer (GraphMAE, https://arxiv.org/abs/2205.10803), or leave the graph with their edges (``drop``).
Rows may be swapped. One vector a sample: the node itself, or the pooled rows of its graph.

    # B samples, T rows, E edges, F features of a node, D features of a row
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Hide, Layout, Rows, View
from unlabeled.errors import at_least, below_one
from unlabeled.nn.distributed import BatchNorm
from unlabeled.nn.rows import learn_mask_token
from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.ops.adjacency import Adjacency, adjacency_of, build
from unlabeled_graph.ops.convolutions import Input
from unlabeled_graph.ops.sparse import dense, take

Norm = Literal["none", "batch", "layer"]
Activation = Literal["prelu", "relu", "elu", "gelu"]
Jump = Literal["last", "cat", "sum", "max"]
Pool = Literal["mean", "sum", "max"]
ACTIVATIONS = {"prelu": nn.PReLU, "relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU}


@dataclass(frozen=True)
class Shape:
    """How layers are put together; the settings of every encoder."""

    width: int
    depth: int
    norm: Norm = "none"
    activation: Activation = "prelu"
    last: bool = True
    residual: bool = False
    jump: Jump = "last"
    dropout: float = 0.0
    pool: Pool = "mean"
    inner: int = 0

    def __post_init__(self) -> None:
        at_least(1, width=self.width, depth=self.depth)
        at_least(0, inner=self.inner)
        if self.jump in ("sum", "max") and self.inner not in (0, self.width):
            raise ValueError(f"jump {self.jump} needs layers of one width, found {self.inner} and {self.width}")
        below_one(dropout=self.dropout)

    def widths(self, features: int) -> list[tuple[int, int]]:
        """What goes into each layer, and what comes out."""
        sizes = [features, *[self.inner or self.width] * (self.depth - 1), self.width]
        return list(pairwise(sizes))

    @property
    def dim(self) -> int:
        """D, features of a row in the end."""
        return sum(b for _, b in self.widths(1)) if self.jump == "cat" else self.width


def make_norm(kind: Norm, width: int) -> nn.Module:
    """A norm of rows ``[T, width]``."""
    if kind == "batch":
        return BatchNorm(width)
    return nn.LayerNorm(width) if kind == "layer" else nn.Identity()


def pool_rows(x_TD: Tensor, layout: Layout, kind: Pool) -> Tensor:
    """``[G, D]``: the rows of each group as one."""
    if kind == "mean":
        return layout.mean(x_TD)
    out = x_TD.new_zeros(len(layout.lengths), x_TD.shape[1])
    if kind == "sum":
        return out.index_add(0, layout.group, x_TD)
    index = layout.group[:, None].expand_as(x_TD)
    return out.scatter_reduce(0, index, x_TD, "amax", include_self=False)


class GraphEncoder(nn.Module):
    """Layers around PyG's modules. Subclasses make the ``convs`` and say how one is computed (``convolve``).

    Args:
        width: D, features of a row.
        depth: number of layers.
        norm: after each layer: none, batch, or layer (of each row).
        activation: after each layer: prelu, relu, elu or gelu.
        last: whether norm and activation follow the last layer too.
        residual: add the input of each layer to its output.
        jump: jumping knowledge: the last layer alone, or all by cat, sum or max.
        dropout: share of the features that each layer reads which are dropped in training, in [0, 1).
        pool: one vector a graph: mean, sum or max of its rows.
        read_edges: whether features of edges are read, where there are any.
    """

    reads_edges = False  # whether features of edges are read

    def __init__(self, spec: GraphSpec, convs: Sequence[nn.Module], shape: Shape) -> None:
        super().__init__()
        self.spec, self.shape = spec, shape
        self.dim = shape.dim
        self.can: frozenset[Capability] = frozenset({"tokens", "mask", "drop", "swap", "layers"})
        self.convs = nn.ModuleList(convs)
        shown = shape.depth if shape.last else shape.depth - 1
        self.norms = nn.ModuleList(make_norm(shape.norm, b) for _, b in shape.widths(spec.features)[:shown])
        self.activations = nn.ModuleList(ACTIVATIONS[shape.activation]() for _ in range(shown))
        self.skips = nn.ModuleList(
            nn.Identity() if a == b else nn.Linear(a, b, bias=False)
            for a, b in (shape.widths(spec.features) if shape.residual else [])
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.mask_token = nn.Parameter(torch.zeros(spec.features), requires_grad=False)

    prepare = learn_mask_token

    def layout(self, batch: GraphBatch) -> Layout:
        """Rows are nodes; they have no position."""
        return batch.layout

    # ------------------------------------------------------------------------------------------ what subclasses say

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        """Layer ``number``, fast."""
        raise AssertionError("an encoder says how its layers are computed")

    def plain(self, number: int, x_TF: Tensor, batch: GraphBatch) -> Tensor:
        """Layer ``number`` by PyG's own forward."""
        more = (self.edge_features(batch),) if self.reads_edges else ()
        out: Tensor = self.convs[number](x_TF, batch.edges, *more)
        return out

    def edge_features(self, batch: GraphBatch) -> Tensor:
        """``[E, A]``; a diffusion view has none."""
        if batch.edge_attr is None:
            raise ValueError(
                "the encoder reads features of edges, and those of this view have none: choose other "
                "--views, or --encoder.read_edges false"
            )
        return batch.edge_attr if batch.edge_attr.is_floating_point() else batch.edge_attr.float()

    # ------------------------------------------------------------------------------------------ forward

    def bare(self, view: View) -> tuple[Tensor, Tensor]:
        """Tokens and pooled vectors by PyG's own modules, called as its users do: the conformance kit compares."""
        batch: Any = view.batch
        x_TD, states = dense(batch.x), []
        for number in range(self.shape.depth):
            x_TD = self._finish(number, self.plain(number, x_TD, batch), Input(x_TD))
            states.append(x_TD)
        tokens = self._jump(states)
        return tokens, self._pooled(tokens, batch, self.layout(batch), None)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        layout, kept = view.layout or self.layout(batch), None
        x = Input(batch.x, view.swap)
        if view.hidden is not None and hide == "mask":
            x = replace(x, hidden=view.hidden.flags(layout.total), token=self.mask_token)
        if view.hidden is not None and hide == "drop":
            kept = view.hidden.complement(layout)
            batch, layout, x = _without(batch, layout, kept, view.swap)
        edges, states = adjacency_of(batch), []
        for number in range(self.shape.depth):
            read = x.dropped(self.dropout)
            x = Input(self._finish(number, self.convolve(number, read, edges, batch), read))
            states.append(dense(x.x))
        wanted = tuple(self._features(states[number], batch, layout, kept) for number in layers)
        return replace(self._features(self._jump(states), batch, layout, kept), layers=wanted)

    def _finish(self, number: int, h_TD: Tensor, x: Input) -> Tensor:
        """Skip, norm and activation after a layer."""
        if self.shape.residual:
            skip: Any = self.skips[number]
            h_TD = h_TD + (x.dense() if isinstance(skip, nn.Identity) else x.project(skip.weight))
        if number < len(self.activations):
            h_TD = self.activations[number](self.norms[number](h_TD))
        return h_TD

    def _jump(self, states: list[Tensor]) -> Tensor:
        if self.shape.jump == "cat":
            return torch.cat(states, dim=1)
        if self.shape.jump == "sum":
            return torch.stack(states).sum(0)
        return torch.stack(states).amax(0) if self.shape.jump == "max" else states[-1]

    def _features(self, tokens: Tensor, batch: GraphBatch, layout: Layout, kept: Rows | None) -> Features:
        return Features(tokens, layout, self._pooled(tokens, batch, layout, kept), kept)

    def _pooled(self, tokens: Tensor, batch: GraphBatch, layout: Layout, kept: Rows | None) -> Tensor:
        if layout.seeds is None:
            return pool_rows(tokens, layout, self.shape.pool)
        if kept is None:
            return batch.pooled(tokens)
        gone = (layout.seeds < 0)[:, None]  # a sample that was dropped has no row of its own
        return torch.where(gone, 0.0, tokens[layout.seeds.clamp(min=0)])


def _without(batch: GraphBatch, layout: Layout, kept: Rows, swap: Tensor | None) -> tuple[GraphBatch, Layout, Input]:
    """The graph of the kept rows alone."""
    flags = kept.flags(layout.total)
    inside = flags[batch.edges].all(0)

    def of_edges(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[inside]

    small = layout.select(kept.index, kept.lengths)
    assert small.edges is not None
    x = take(batch.x, kept.index if swap is None else swap[kept.index])
    part = batch.altered(
        x=x,
        edges=small.edges,
        lengths=kept.lengths,
        edge_attr=of_edges(batch.edge_attr),
        weight=of_edges(batch.weight),
        nodes=None if batch.nodes is None else batch.nodes[kept.index],
        seeds=None,
        complete=False,
    )
    part.memo["adjacency"] = build(part.edges, part.total, part.weight, part.symmetric)
    return part, small, Input(x)
