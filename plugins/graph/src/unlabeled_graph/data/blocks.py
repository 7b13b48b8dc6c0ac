"""A generated stochastic block model whose nodes have words, which needs no download.

# N nodes, E directed edges, F words
"""

from typing import Literal

import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled_graph.data.nodes import Nodes
from unlabeled_graph.data.raw import Raw, mend


class Blocks(Nodes):
    """A generated stochastic block model, whose communities also differ in their words.

    Args:
        nodes: N, number of nodes.
        communities: number of blocks, which are the classes.
        degree: mean number of links of a node.
        mixing: share of the links that join two communities, in [0, 1].
        words: F, features; each node has a few, half of them typical of its community.
        split: labels that probes may see: random 10 / 10 / 80, ten folds, or none held out.
        turn: seed of a random split, or number of the fold that is the test.
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
        nodes: int = 600,
        communities: int = 4,
        degree: float = 8.0,
        mixing: float = 0.2,
        words: int = 128,
        split: Literal["random", "folds", "none"] = "random",
        turn: int = 0,
        sampling: Literal["whole", "neighbors", "clusters"] = "whole",
        fanout: tuple[int, ...] = (10, 10),
        cluster: int = 64,
        held_links: float = 0.0,
        teach: bool = False,
    ) -> None:
        if path is not None:
            raise ValueError(f"the block model is generated; to read {path}, give --data files:{path}")
        if nodes < 2 * communities or communities < 2 or words < communities or degree <= 0 or not 0 <= mixing <= 1:
            raise ValueError(
                f"nodes {nodes}, communities {communities}, words {words}, degree {degree}, mixing {mixing}: two nodes "
                "and a word a community, two communities, a degree above 0, and a share in [0, 1]"
            )
        y = torch.arange(nodes) % communities
        x, edges = block_words(y, communities, words), block_edges(y, communities, degree, mixing)
        names = tuple(f"block {n}" for n in range(communities))
        raw = Raw("block model", "node", x, edges, (nodes,), y, names)
        super().__init__(
            mend(raw, undirected=True, normalize=True),
            split=split,
            turn=turn,
            sampling=sampling,
            fanout=fanout,
            cluster=cluster,
            held_links=held_links,
            teach=teach,
        )


def block_edges(y_N: Tensor, communities: int, degree: float, mixing: float) -> Tensor:
    """``int64[2, E]`` one way: each node draws half its links, within its community but for a share ``mixing``."""
    count = len(y_N)
    half = max(1, round(degree / 2))
    draw = Draw(0, 0, torch.arange(count))
    inside = ~draw.bernoulli(half, Purpose.MIX, mixing)
    size = count // communities
    own = draw.integers(half, Purpose.NODE, size) * communities + y_N[:, None]
    other = draw.integers(half, Purpose.EDGE, count)
    target = torch.where(inside, own, other)
    source = torch.arange(count)[:, None].expand_as(target)
    return torch.stack((source.flatten(), target.flatten()))


def block_words(y_N: Tensor, communities: int, words: int) -> Tensor:
    """``float[N, words]`` of 0 and 1: twelve draws a node, half from the words of its community."""
    draw = Draw(0, 1, torch.arange(len(y_N)))
    share = words // communities
    typical = draw.integers(6, Purpose.FEATURE, share) + y_N[:, None] * share
    common = draw.integers(6, Purpose.NOISE, words)
    return torch.zeros(len(y_N), words).scatter_(1, torch.cat((typical, common), 1), 1.0)
