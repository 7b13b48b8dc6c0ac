"""The views of graphs that published systems train on.

Each class is a component: its settings are the strengths of ``edits.py``. A view of graphs whose nodes were dropped
says in ``origin`` which place each had in its graph.

    # B samples, G groups, T rows, E directed edges
"""

from dataclasses import replace
from typing import Literal

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import at_least
from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.ops.chance import graph_draw
from unlabeled_graph.ops.diffusion import diffuse
from unlabeled_graph.ops.positions import diffused
from unlabeled_graph.views import edits

Pair = tuple[float, float]
CHANGES = ("nodes", "links", "features", "subgraph", "same")


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
        at_least(1, length=length)
        self.strengths = tuple(zip(links, columns, rows, nodes, paths, added, strict=True))
        self.length = length
        self.roles = ("global", "global")
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        return [self._view(batch, draw.at(number), number) for number in range(len(self.roles))]

    def _view(self, batch: GraphBatch, draw: Draw, number: int) -> View:
        links, columns, rows, nodes, paths, added = self.strengths[number]
        within = batch.layout.within
        batch, origin = edits.drop_nodes(batch, draw, nodes)
        batch = edits.drop_links(batch, draw, links)
        batch = edits.drop_paths(batch, draw, paths, self.length)
        batch = edits.add_links(batch, draw, added)
        batch = edits.mask_rows(edits.mask_columns(batch, draw, columns), draw, rows)
        return View(batch, "global", layout=batch.layout, origin=None if origin is None else within[origin])


class Chosen:
    """Two views, each of one change that every graph chooses at random: GraphCL's random augmentations.

    Changes are ``nodes`` (dropped), ``links`` (as many dropped as added), ``features`` (of some nodes become noise),
    ``subgraph`` (what random walks reach stays) and ``same``. Differs: the authors' code keeps the nodes that it means
    to drop, and never adds a link; here both are done as the paper says.

    Args:
        choices: what a graph chooses from.
        strength: share of nodes or links that a change touches (the paper's 0.2), in (0, 1).
    """

    def __init__(
        self, spec: GraphSpec, *, choices: tuple[str, ...] = ("nodes", "subgraph"), strength: float = 0.2
    ) -> None:
        strange = [choice for choice in choices if choice not in CHANGES]
        if strange or not choices:
            raise ValueError(f"choices are {choices}; each must be one of {', '.join(CHANGES)}")
        if not 0 < strength < 1:
            raise ValueError(f"strength is {strength}; it must be in (0, 1)")
        self.choices, self.strength = choices, strength
        self.roles = ("global", "global")
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        return [self._view(batch, draw.at(number)) for number in range(len(self.roles))]

    def _view(self, batch: GraphBatch, draw: Draw) -> View:
        picked = graph_draw(batch, draw).integers(1, Purpose.MIX, len(self.choices))[:, 0].tolist()
        names = [self.choices[number] for number in picked]

        def shares(name: str, share: float, other: float = 0.0) -> list[float]:
            return [share if found == name else other for found in names]

        within = batch.layout.within
        batch = edits.perturb_links(batch, draw, shares("links", self.strength / 2))
        batch = edits.noisy_rows(batch, draw, shares("features", self.strength))
        batch, origin = edits.drop_nodes(batch, draw, shares("nodes", self.strength))
        if "subgraph" in names:
            batch, kept = edits.walk_subgraph(batch, draw, shares("subgraph", 1 - self.strength, 1.0))
            origin = kept if origin is None or kept is None else origin[kept]
        return View(batch, "global", layout=batch.layout, origin=None if origin is None else within[origin])


class Plain:
    """One view, the graph as it is or with a share of its links dropped: for masked objectives.

    Args:
        links: share of the links that are dropped, in [0, 1).
        columns: share of the columns of features that are hidden, in [0, 1).
        views: number of such views.
        positions: coordinates of a node, near for nodes that are near in the graph, for predictors that are asked for
            rows by their position; 0 = nodes have none.
    """

    def __init__(
        self, spec: GraphSpec, *, links: float = 0.0, columns: float = 0.0, views: int = 1, positions: int = 0
    ) -> None:
        _shares(links=(links,) * 2, columns=(columns,) * 2)
        if views < 1 or positions < 0:
            raise ValueError(f"views is {views} and positions {positions}; they must be at least 1 and 0")
        self.links, self.columns, self.positions = links, columns, positions
        self.roles = ("global",) * views
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        made = []
        for number in range(len(self.roles)):
            seen = edits.drop_links(batch, draw.at(number), self.links)
            seen = edits.mask_columns(seen, draw.at(number), self.columns)
            made.append(View(seen, "global", layout=self._layout(seen)))
        return made

    def _layout(self, batch: GraphBatch) -> Layout | None:
        return replace(batch.layout, position=diffused(batch, self.positions)) if self.positions else None


class Shuffle:
    """The graph as it is, and one with its features permuted among its nodes: DGI's corruption.

    Args:
        diffusion: add a view of role diffusion, as MVGRL has it.
        kernel: of the diffusion: ppr, personalized PageRank, or heat.
        alpha: probability that a walk of PageRank returns to its start, in (0, 1).
        time: of the heat kernel, above 0 (t in the paper).
        keep: entries of the diffusion that each node keeps; 0 = all.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        diffusion: bool = False,
        kernel: Literal["ppr", "heat"] = "ppr",
        alpha: float = 0.2,
        time: float = 5.0,
        keep: int = 64,
    ) -> None:
        if not 0 < alpha < 1 or keep < 0 or time <= 0:
            raise ValueError(f"alpha {alpha}, time {time}, keep {keep}: in (0, 1), above 0, and at least 0")
        self.diffusion, self.keep = diffusion, keep
        self.kernel: Literal["ppr", "heat"] = kernel
        self.strength = alpha if kernel == "ppr" else time
        self.roles = ("global", "diffusion", "corrupt") if diffusion else ("global", "corrupt")
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        made = [View(batch, "global")]
        if self.diffusion:
            made.append(View(diffuse(batch, self.kernel, self.strength, self.keep), "diffusion"))
        # a swap leaves the graph untouched, so what was worked out for it serves both
        return [*made, View(batch, "corrupt", layout=batch.layout, swap=edits.shuffle_rows(batch, draw))]


class Clean:
    """The graph as it is: what features are taken from."""

    def __init__(self, spec: GraphSpec) -> None:
        self.roles = ("clean",)
        self.params: tuple[str, ...] = ()

    def __call__(self, batch: GraphBatch, draw: Draw) -> list[View]:
        return [View(batch, "clean")]
