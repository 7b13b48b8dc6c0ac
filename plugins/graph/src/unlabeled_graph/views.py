"""The views of graphs that published systems train on.

Each class is a component: its settings are the strengths of ``edits.py``. A view of graphs whose nodes were dropped
says in ``origin`` which row each was.

    # B samples, G groups, T rows, E directed edges
"""

from __future__ import annotations

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_graph import edits
from unlabeled_graph.data import GraphBatch, GraphSpec
from unlabeled_graph.diffusion import diffuse

Pair = tuple[float, float]


def _shares(**pairs: Pair) -> None:
    for name, pair in pairs.items():
        for share in pair:
            if not 0 <= share < 1:
                raise ValueError(f"{name} is {pair}; each share must be in [0, 1)")


class Augment:
    """Two views with links, nodes, columns and rows of features dropped: GRACE, BGRL, CCA-SSG and the like.

    Each setting has a share for the first and for the second view.

    Args:
        links: share of the links that are dropped (p_r in GRACE), in [0, 1).
        columns: share of the columns of features that are hidden, the same for all nodes (p_m in GRACE), in [0, 1).
        rows: share of the nodes whose features are hidden, in [0, 1).
        nodes: share of the nodes that are dropped; where nodes are the samples, that lose their links; in [0, 1).
        paths: share of the links that are dropped along random walks, in [0, 1).
        length: links of such a walk.
        added: new links, as a share of the old, in [0, 1).
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        links: tuple[float, float] = (0.2, 0.4),
        columns: tuple[float, float] = (0.3, 0.4),
        rows: tuple[float, float] = (0.0, 0.0),
        nodes: tuple[float, float] = (0.0, 0.0),
        paths: tuple[float, float] = (0.0, 0.0),
        length: int = 5,
        added: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        _shares(links=links, columns=columns, rows=rows, nodes=nodes, paths=paths, added=added)
        if length < 1:
            raise ValueError(f"length is {length}; it must be at least 1")
        self.strengths = tuple(zip(links, columns, rows, nodes, paths, added, strict=True))
        self.length = length
        self.roles = ("global", "global")
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        return [self._view(batch, draw.at(number), number) for number in range(len(self.roles))]

    def _view(self, batch: GraphBatch, draw: Draw, number: int) -> View:
        links, columns, rows, nodes, paths, added = self.strengths[number]
        batch, origin = edits.drop_nodes(batch, draw, nodes)
        batch = edits.drop_links(batch, draw, links)
        batch = edits.drop_paths(batch, draw, paths, self.length)
        batch = edits.add_links(batch, draw, added)
        batch = edits.mask_rows(edits.mask_columns(batch, draw, columns), draw, rows)
        return View(batch, "global", origin=origin)


class Plain:
    """One view, the graph as it is or with a share of its links dropped: for masked objectives.

    Args:
        links: share of the links that are dropped, in [0, 1).
        columns: share of the columns of features that are hidden, in [0, 1).
        views: number of such views.
    """

    def __init__(self, spec: GraphSpec, *, links: float = 0.0, columns: float = 0.0, views: int = 1) -> None:
        _shares(links=(links,) * 2, columns=(columns,) * 2)
        if views < 1:
            raise ValueError(f"views is {views}; it must be at least 1")
        self.links, self.columns = links, columns
        self.roles = ("global",) * views
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        made = []
        for number in range(len(self.roles)):
            seen = edits.drop_links(batch, draw.at(number), self.links)
            made.append(View(edits.mask_columns(seen, draw.at(number), self.columns), "global"))
        return made


class Shuffle:
    """The graph as it is, and one with its features permuted among its nodes: DGI's corruption.

    Args:
        diffusion: add a view of role diffusion, personalized PageRank of the graph, as MVGRL has it.
        alpha: probability that a walk of the diffusion returns to its start, in (0, 1).
        keep: entries of the diffusion that each node keeps; 0 = all.
    """

    def __init__(self, spec: GraphSpec, *, diffusion: bool = False, alpha: float = 0.2, keep: int = 64) -> None:
        if not 0 < alpha < 1 or keep < 0:
            raise ValueError(f"alpha is {alpha} and keep {keep}; alpha must be in (0, 1), keep at least 0")
        self.diffusion, self.alpha, self.keep = diffusion, alpha, keep
        self.roles = ("global", "diffusion", "corrupt") if diffusion else ("global", "corrupt")
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        made = [View(batch, "global")]
        if self.diffusion:
            made.append(View(diffuse(batch, "ppr", self.alpha, self.keep), "diffusion"))
        # a swap leaves the graph untouched, so what was worked out for it serves both
        return [*made, View(batch, "corrupt", swap=edits.shuffle_rows(batch, draw))]


class Clean:
    """The graph as it is: what features are taken from."""

    def __init__(self, spec: GraphSpec) -> None:
        self.roles = ("clean",)
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        return [View(batch, "clean")]
