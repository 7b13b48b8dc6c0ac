"""The spec that graph parts are wired with, and batches of graphs or of nodes.

Two levels. Where graphs are the samples, a batch holds B graphs, one group of rows each. Where nodes are the samples,
a batch holds one graph, the whole one or a part, and ``seeds`` names the B rows that are its samples; or it holds
a neighborhood for each sample, a group each.

Invariants of a batch: edges are sorted by target, then source; there are no loops and no duplicates; no edge joins two
groups. What reads data sees to them (``data/raw.py``), and whatever changes edges.

    # B samples, G groups, T rows (nodes of all groups), E directed edges, F features
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor

from unlabeled.contract import Layout, computed_once
from unlabeled_graph.ops.sparse import Rows, concatenate, take

OF_EDGES = ("adjacency", "return_chances", "neighbors", "facts")  # of a batch's memo: what does not read features


@dataclass(frozen=True)
class GraphSpec:
    """What encoders, views and tokenizers are wired with.

    Args:
        features: F, numbers of a node.
        edge_features: numbers of an edge; 0 = edges carry none.
        level: ``node`` where nodes are the samples, ``graph`` where whole graphs are.
        node_count: nodes of the one graph whose nodes are the samples; 0 = not known, or graphs are the samples.
        taught: classes of the labels that batches carry; 0 = they carry none.
    """

    features: int
    edge_features: int = 0
    level: str = "node"
    node_count: int = 0
    taught: int = 0

    def __post_init__(self) -> None:
        if self.features < 1 or self.edge_features < 0 or self.level not in ("node", "graph"):
            raise ValueError(
                f"features {self.features}, edge_features {self.edge_features}, level {self.level!r}: a node has at "
                "least 1 feature, and level is node or graph"
            )


@dataclass(frozen=True)
class GraphBatch:
    """Graphs, packed.

    Args:
        ids: ``[B]`` index of each sample in its data set.
        x: ``[T, F]`` float features, a tensor or :class:`unlabeled_graph.ops.sparse.SparseRows`.
        edges: ``int64[2, E]`` source and target rows; an undirected link stands in both directions.
        lengths: nodes of each group, on the host.
        edge_attr: ``[E, A]`` features of edges.
        weight: ``[E]`` weights of edges (diffusion); None = all 1.
        seeds: ``[B]`` rows that are the samples, where nodes are.
        nodes: ``[T]`` index in the data set of each row's node, where nodes are the samples.
        y: ``[T]`` class of each row's node where training may know it, else -1; None = it may know none.
        symmetric: whether every edge stands in both directions, with equal weights.
        complete: whether the samples are all rows, in their order.
        diffusion: kernel, strength and entries kept, of edges that are a diffusion.
        memo: what was worked out for this graph before, shared by the batches that hold it unchanged.
    """

    ids: Tensor
    x: Rows
    edges: Tensor
    lengths: tuple[int, ...]
    edge_attr: Tensor | None = None
    weight: Tensor | None = None
    seeds: Tensor | None = None
    nodes: Tensor | None = None
    y: Tensor | None = None
    symmetric: bool = True
    complete: bool = False
    diffusion: tuple[str, float, int] | None = None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.ids.numel()

    @property
    def total(self) -> int:
        """T."""
        return len(self.x)

    @property
    def device(self) -> torch.device:
        return self.edges.device

    @computed_once
    def layout(self) -> Layout:
        """Structure of the rows: groups, edges and seeds; nodes have no position."""
        position = torch.zeros(self.total, 0, device=self.device)
        return Layout(self.lengths, position, edges=self.edges, seeds=self.seeds, address=self.nodes)

    @property
    def group(self) -> Tensor:
        """``int64[T]``, the group of each row."""
        return self.layout.group

    def pooled(self, tokens_TD: Tensor) -> Tensor:
        """``[B, D]`` at the nodes that are the samples."""
        assert self.seeds is not None
        return tokens_TD if self.complete else tokens_TD[self.seeds]

    def altered(self, **changes: Any) -> Self:
        """With another graph or other features: nothing that was worked out before is kept."""
        return replace(self, memo={}, **changes)

    def featured(self, x: Rows) -> Self:
        """With other features of the same graph: what was worked out of its edges alone is kept."""
        kept = {key: value for key, value in self.memo.items() if (key if isinstance(key, str) else key[0]) in OF_EDGES}
        return replace(self, x=x, memo=kept)

    def to(self, device: torch.device | str) -> Self:
        """On a device; of a graph that many batches share, the copy is made once."""
        if self.device == torch.device(device):
            return self
        shared = self.memo.setdefault(("on", str(device)), {})
        if "x" not in shared:
            shared["memo"] = {}
            for name in ("x", "edges", "edge_attr", "weight", "nodes", "y"):
                value = getattr(self, name)
                shared[name] = None if value is None else value.to(device)
        seeds = None if self.seeds is None else self.seeds.to(device)
        return replace(self, ids=self.ids.to(device), seeds=seeds, **shared)

    def __getitem__(self, samples: slice) -> Self:
        """The groups of these samples; ``TypeError`` where samples are nodes of one graph."""
        if len(self.lengths) != len(self):
            raise TypeError("the nodes of one graph cannot be taken apart")
        start, stop, step = samples.indices(len(self))
        if step != 1:
            raise TypeError("graphs are cut in order")
        offsets = (0, *accumulate(self.lengths))
        begin, end = offsets[start], offsets[max(start, stop)]
        index = torch.arange(begin, end, device=self.device)
        inside = (self.edges[1] >= begin) & (self.edges[1] < end)

        def of_edges(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[inside]

        return self.altered(
            ids=self.ids[samples],
            x=take(self.x, index),
            edges=self.edges[:, inside] - begin,
            lengths=self.lengths[samples],
            edge_attr=of_edges(self.edge_attr),
            weight=of_edges(self.weight),
            seeds=None if self.seeds is None else self.seeds[samples] - begin,
            nodes=None if self.nodes is None else self.nodes[begin:end],
            y=None if self.y is None else self.y[begin:end],
        )


def joined(batches: Sequence[GraphBatch]) -> GraphBatch:
    """The graphs of all batches, one batch after the other, for an encoder that is to see them together."""
    starts = (0, *accumulate(batch.total for batch in batches))

    def all_of(name: str) -> Any:
        parts = [getattr(batch, name) for batch in batches]
        return None if any(part is None for part in parts) else torch.cat(parts)

    def moved(name: str, dim: int) -> Any:
        parts = [getattr(batch, name) for batch in batches]
        shifted = [part + start for part, start in zip(parts, starts) if part is not None]
        return torch.cat(shifted, dim=dim) if len(shifted) == len(parts) else None

    return replace(
        batches[0].altered(x=concatenate([batch.x for batch in batches])),
        **{name: all_of(name) for name in ("ids", "edge_attr", "weight", "nodes", "y")},
        edges=moved("edges", 1),
        seeds=moved("seeds", 0),
        lengths=tuple(n for batch in batches for n in batch.lengths),
        symmetric=all(batch.symmetric for batch in batches),
    )


def sort_edges(edges: Tensor, total: int) -> tuple[Tensor, Tensor | None]:
    """Edges sorted by target, then source, and the order that does it; None where they stand so already."""
    key = edges[1] * total + edges[0]
    if key.device.type == "cpu" and bool((key[1:] > key[:-1]).all()):  # a device would be waited for: it sorts
        return edges, None
    order = torch.argsort(key, stable=True)
    return edges[:, order], order


def is_symmetric(edges: Tensor, total: int) -> bool:
    """Whether every edge of sorted ``edges[2, E]`` stands in both directions."""
    turned, _ = sort_edges(edges.flip(0), total)
    return torch.equal(turned, edges)


def facts_of(batch: GraphBatch) -> tuple[Tensor, Tensor]:
    """``int64[N]`` edge and ``int64[N]`` relation of each fact: the columns of an edge's features above 0.5, or one and
    the same relation where edges have none. Worked out once for a graph that steps share."""
    if "facts" not in batch.memo:
        if batch.edge_attr is None:
            edge = torch.arange(batch.edges.shape[1], device=batch.device)
            batch.memo["facts"] = edge, torch.zeros_like(edge)
        else:
            batch.memo["facts"] = torch.nonzero(batch.edge_attr > 0.5, as_tuple=True)
    found: tuple[Tensor, Tensor] = batch.memo["facts"]
    return found


def graph_batch(
    ids: Sequence[int] | Tensor,
    graphs: Sequence[tuple[Rows, Tensor, Tensor | None]],
    *,
    symmetric: bool = True,
) -> GraphBatch:
    """A batch of whole graphs, each ``(x[n, F], edges[2, e], edge_attr[e, A] or None)`` with edges sorted."""
    lengths = tuple(len(x) for x, _, _ in graphs)
    starts = (0, *accumulate(lengths))
    attrs = [attr for _, _, attr in graphs if attr is not None]
    return GraphBatch(
        torch.as_tensor(ids, dtype=torch.int64),
        concatenate([x for x, _, _ in graphs]),
        torch.cat([edges + start for (_, edges, _), start in zip(graphs, starts)], dim=1),
        lengths,
        edge_attr=torch.cat(attrs) if attrs else None,
        symmetric=symmetric,
    )
