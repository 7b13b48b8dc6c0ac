"""Views that single methods are made of: GCA's spare what is central, D-SLA's count their edits, SelfTask's keep the
whole graph beside the thinned one.

    # B samples, G groups, T rows, E directed edges, F features
"""

from typing import Literal

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above, at_least, below_one
from unlabeled.nn.chance import uniform
from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.ops.adjacency import adjacency_of
from unlabeled_graph.ops.chance import graph_draw, link_words
from unlabeled_graph.ops.sparse import SparseRows, dense, scale_columns
from unlabeled_graph.views.edits import around, drop_links, keep_edges, mask_rows, perturb_links

PAGERANK = 0.85


def centrality(batch: GraphBatch, kind: str) -> Tensor:
    """``[T]``: degree, or PageRank by 10 steps of the power iteration, as the authors' code takes it."""
    degree = adjacency_of(batch).pattern.offsets.diff().float()
    if kind == "degree":
        return degree + 1
    source, target = batch.edges
    rank, share = torch.ones_like(degree), 1 / degree.clamp(min=1)
    for _ in range(10):
        rank = 1 - PAGERANK + PAGERANK * torch.zeros_like(rank).index_add(0, target, (rank * share)[source])
    return rank


def chances(weight_GN: Tensor, share: float, most: float) -> Tensor:
    """``[G, N]`` probabilities of being dropped, with mean ``share``, less for greater weights, none above ``most``."""
    top, mean = weight_GN.amax(1, keepdim=True), weight_GN.mean(1, keepdim=True)
    return ((top - weight_GN) / (top - mean).clamp(min=1e-9) * share).clamp(max=most)


def link_chances(weight_E: Tensor, group_E: Tensor, groups: int, share: float, most: float) -> Tensor:
    """``[E]``: likewise, within each graph."""
    top = torch.full((groups,), -torch.inf, device=weight_E.device).scatter_reduce(0, group_E, weight_E, "amax")
    count = torch.bincount(group_E, minlength=groups).clamp(min=1)
    mean = torch.zeros(groups, device=weight_E.device).index_add(0, group_E, weight_E) / count
    return ((top[group_E] - weight_E) / (top - mean)[group_E].clamp(min=1e-9) * share).clamp(max=most)


class Adaptive:
    """Two views that spare central links and the features of central nodes: GCA, https://arxiv.org/abs/2010.14945.

    Args:
        links: mean share of the links that are dropped, of each view, in [0, 1).
        columns: mean share of the columns that are hidden, of each view, in [0, 1).
        most: greatest probability of being dropped or hidden, in (0, 1]; p_tau, 0.7 in the paper.
        by: what makes a node central: degree or pagerank.
    """

    params: tuple[str, ...] = ()

    def __init__(
        self,
        spec: GraphSpec,
        *,
        links: tuple[float, float] = (0.2, 0.4),
        columns: tuple[float, float] = (0.3, 0.4),
        most: float = 0.7,
        by: Literal["degree", "pagerank"] = "degree",
    ) -> None:
        if not all(0 <= share < 1 for share in (*links, *columns)) or not 0 < most <= 1:
            raise ValueError(f"links {links}, columns {columns}, most {most}: shares in [0, 1), and most in (0, 1]")
        self.links, self.columns, self.most, self.by = links, columns, most, by
        self.roles = ("global", "global")

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        if ("gca", self.by) not in batch.memo:
            batch.memo["gca", self.by] = self._weights(batch)
        link_E, column_GF = batch.memo["gca", self.by]
        group, groups = batch.group[batch.edges[1]], len(batch.lengths)
        made = []
        for number, (links, columns) in enumerate(zip(self.links, self.columns, strict=True)):
            each = draw.at(number)
            chance = link_chances(link_E, group, groups, links, self.most)
            kept = uniform(link_words(batch, each, Purpose.EDGE)) >= chance
            words = graph_draw(batch, each).words(batch.x.shape[1], Purpose.FEATURE)
            shown_GF = (uniform(words) >= chances(column_GF, columns, self.most)).float()
            made.append(View(_show(keep_edges(batch, kept), shown_GF), "global"))
        return made

    def _weights(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Log centrality of each edge, the mean of its ends, and of each column, summed over the nodes that have it."""
        central = centrality(batch, self.by)
        link_E = central[batch.edges].mean(0).log()
        x, shape = batch.x, (len(batch.lengths), batch.x.shape[1])
        if isinstance(x, SparseRows):
            column, rows = torch.zeros(shape, device=batch.device), x.pattern.rows
            place = (batch.group[rows], x.pattern.columns)
            column.index_put_(place, x.values.abs() * central[rows], accumulate=True)
        else:
            column = torch.zeros(shape, device=batch.device).index_add(0, batch.group, x.abs() * central[:, None])
        return link_E, column.clamp(min=1e-9).log()


def _show(batch: GraphBatch, shown_GF: Tensor) -> GraphBatch:
    if len(shown_GF) == 1:
        return batch.altered(x=scale_columns(batch.x, shown_GF[0]))
    return batch.altered(x=dense(batch.x) * shown_GF[batch.group])


class Perturb:
    """The graph, and several of which links around a random node were dropped and added, each more than the last:
    D-SLA, https://arxiv.org/abs/2202.02989. Features of most nodes there are hidden in all of them, the graph itself
    too, so that they tell nothing of the edits. ``edits`` is the number of links that differ, 0 where none is there to
    change.

    Args:
        strengths: share of the links there that are dropped, and as many added, of each perturbation, each in (0, 1];
            two at least, and never less than one link. The authors have a multiple of 0.2 for molecules.
        rows: share of the nodes there whose features are hidden, in [0, 1); the authors have 0.8 for molecules.
        hops: how far from the random node is there, at least 0; 0 = everywhere. The authors have 3 for molecules.
    """

    params = ("edits",)

    def __init__(
        self,
        spec: GraphSpec,
        *,
        strengths: tuple[float, ...] = (0.2, 0.4, 0.6),
        rows: float = 0.8,
        hops: int = 3,
    ) -> None:
        if len(strengths) < 2 or not all(0 < s <= 1 for s in strengths):
            raise ValueError(f"strengths are {strengths}; they must be at least two shares in (0, 1]")
        below_one(rows=rows)
        at_least(0, hops=hops)
        self.strengths, self.rows, self.hops = strengths, rows, hops
        self.roles = ("global",) + ("perturbed",) * len(strengths)

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        there = around(batch, draw, self.hops) if self.hops else torch.ones_like(batch.group, dtype=torch.bool)
        changed = [batch] + [
            perturb_links(batch, draw.at(number), share, there) for number, share in enumerate(self.strengths, start=1)
        ]
        return [
            View(
                mask_rows(each, draw.at(number), self.rows, there),
                role,
                params={"edits": _of_samples(edits_between(batch, each), batch)},
            )
            for number, (each, role) in enumerate(zip(changed, self.roles, strict=True))
        ]


def edits_between(first: GraphBatch, second: GraphBatch) -> Tensor:
    """``float[G]``: how many links of each graph only one of two batches of the same nodes has."""
    total = first.total
    a, b = (batch.edges[0] * total + batch.edges[1] for batch in (first, second))
    ends = torch.cat((first.edges[1][~torch.isin(a, b)], second.edges[1][~torch.isin(b, a)]))
    return torch.bincount(first.group[ends], minlength=len(first.lengths)) / (1 + first.symmetric)


def _of_samples(number_G: Tensor, batch: GraphBatch) -> Tensor:
    """``[B]``: of the graph that each sample is, or is a node of."""
    return number_G if batch.seeds is None else number_G[batch.group[batch.seeds]]


class Thinned:
    """The graph without a share of its links, and beside it the whole one (role ``clean``): SelfTask's edge mask.

    Args:
        links: share of the links that are dropped, in (0, 1).
    """

    params: tuple[str, ...] = ()

    def __init__(self, spec: GraphSpec, *, links: float = 0.1) -> None:
        above(0, links=links)
        if links >= 1:
            raise ValueError(f"links is {links}; it must be in (0, 1)")
        self.links = links
        self.roles = ("global", "clean")

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        return [View(drop_links(batch, draw, self.links), "global"), View(batch, "clean")]
