"""Graphs that tests are made of: small, of every kind that is hard (directed, isolated nodes, one node, no edge)."""

from functools import cache

import torch
from hypothesis import strategies as st
from torch import Tensor

from unlabeled.training.datamodule import Indices
from unlabeled_graph.batch import GraphBatch, graph_batch, is_symmetric, sort_edges
from unlabeled_graph.data.graphs import Graphs
from unlabeled_graph.data.nodes import Nodes
from unlabeled_graph.data.raw import Raw, mend


def random_links(count: int, chance: float, seed: int) -> Tensor:
    """Both directions of random links ``[2, E]`` among ``count`` nodes, sorted."""
    generator = torch.Generator().manual_seed(seed)
    upper = torch.triu(torch.rand(count, count, generator=generator) < chance, diagonal=1)
    edges = torch.nonzero(upper | upper.T).T
    return sort_edges(edges, max(count, 1))[0]


def many(sizes: tuple[int, ...] = (5, 1, 8, 12), chance: float = 0.4, features: int = 6, seed: int = 0) -> Graphs:
    """A data set of random graphs."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.tensor([0, *sizes]).cumsum(0)
    edges = torch.cat([random_links(n, chance, seed + i) + starts[i] for i, n in enumerate(sizes)], dim=1)
    x = torch.rand(sum(sizes), features, generator=generator) + 0.1
    y = torch.arange(len(sizes)) % 2
    raw = Raw("random graphs", "graph", x, edges, tuple(sizes), y, ("a", "b"))
    return Graphs(mend(raw, undirected=True, normalize=False), split="none")


def single(
    count: int = 12, chance: float = 0.3, features: int = 6, seed: int = 0, directed: bool = False
) -> GraphBatch:
    """One graph whose nodes are the samples."""
    generator = torch.Generator().manual_seed(seed)
    edges = random_links(count, chance, seed)
    if directed:
        edges = edges[:, torch.rand(edges.shape[1], generator=generator) < 0.6]
    x = torch.rand(count, features, generator=generator) + 0.1
    ids = torch.arange(count)
    return GraphBatch(
        ids, x, edges, (count,), seeds=ids, nodes=ids, symmetric=is_symmetric(edges, count), complete=True
    )


@cache
def sampled(sampling: str) -> Nodes:
    """A graph that is read in parts."""
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) + 0.1
    raw = Raw("parts", "node", x, random_links(40, 0.1, 0), (40,))
    return Nodes(mend(raw, undirected=True, normalize=False), split="none", sampling=sampling, fanout=(3, 3), cluster=8)


@st.composite
def batches(draw: st.DrawFn) -> GraphBatch:
    """Batches of graphs, single graphs, and parts of one, of all sizes."""
    part = draw(st.sampled_from(["", "", "neighbors", "clusters"]))
    if part:
        ids = draw(st.lists(st.integers(0, 39), min_size=1, max_size=9, unique=True))
        return sampled(part).__getitems__(Indices(ids, 0, 0))
    seed, chance = draw(st.integers(0, 1000)), draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    if draw(st.booleans()):
        return single(draw(st.integers(1, 14)), chance, seed=seed)
    sizes = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=5)))
    return many(sizes, chance, seed=seed).__getitems__(list(range(len(sizes))))


def squares(count: int = 2, features: int = 6, seed: int = 0) -> GraphBatch:
    """Rings of four nodes: whoever has no link to a node is known, it is the opposite one (:func:`opposite`)."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.tensor([[1, 3, 0, 2, 1, 3, 0, 2], [0, 0, 1, 1, 2, 2, 3, 3]])
    return graph_batch(
        range(count), [(torch.randn(4, features, generator=generator), edges, None) for _ in range(count)]
    )


def opposite(edges: Tensor) -> Tensor:
    """For each edge of :func:`squares` the only pair of its source that is none."""
    return torch.stack((edges[0], edges[0] // 4 * 4 + (edges[0] + 2) % 4))


def links_of(batch: GraphBatch) -> int:
    """Links of a graph that has each in both directions."""
    return int((batch.edges[0] < batch.edges[1]).sum())
