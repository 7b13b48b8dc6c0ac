"""Zachary's karate club, which needs no download."""

from typing import Any, Literal

from unlabeled_graph.data.nodes import Nodes
from unlabeled_graph.data.raw import Raw, mend


class Karate(Nodes):
    """Zachary's karate club: 34 members, 78 ties, 4 communities; each node's feature says which node it is.

    Args:
        sampling: what a step sees: the whole graph, a neighborhood of each node, or clusters.
        fanout: neighbors of each node in each hop of a neighborhood.
        cluster: nodes of a cluster.
        held_links: share of the links that training does not see, for probes of links, in [0, 0.5).
        teach: hand training the labels of train nodes, never of others, for self_task's tasks that read labels.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        sampling: Literal["whole", "neighbors", "clusters"] = "whole",
        fanout: tuple[int, ...] = (10, 10),
        cluster: int = 8,
        held_links: float = 0.0,
        teach: bool = False,
    ) -> None:
        from unlabeled_graph.ops.pyg import KarateClub

        if path is not None:
            raise ValueError(f"the karate club is built in; to read {path}, give --data files:{path}")
        found: Any = KarateClub()[0]
        names = tuple(f"community {n}" for n in range(4))
        raw = Raw("karate club", "node", found.x.float(), found.edge_index, (34,), found.y.long(), names)
        super().__init__(
            mend(raw, undirected=True, normalize=False),
            split="none",
            sampling=sampling,
            fanout=fanout,
            cluster=cluster,
            held_links=held_links,
            teach=teach,
        )
