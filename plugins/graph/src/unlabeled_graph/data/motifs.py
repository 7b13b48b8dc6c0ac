"""Generated graphs that hold a ring, a clique, a star or a ladder, which need no download.

# N graphs, E one-way edges, F features
"""

from typing import Literal

import numpy as np
import torch

from unlabeled_graph.data.arrays import degree_columns
from unlabeled_graph.data.graphs import Graphs
from unlabeled_graph.data.raw import Raw, mend

MOTIFS: tuple[tuple[tuple[int, int], ...], ...] = (
    tuple((n, (n + 1) % 6) for n in range(6)),
    tuple((a, b) for a in range(5) for b in range(a)),
    tuple((0, n) for n in range(1, 7)),
    ((0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)),
)


class Motifs(Graphs):
    """Generated graphs: a random tree with a ring, a clique, a star or a ladder grown into it; features are degrees.

    Args:
        count: N, number of graphs.
        smallest: nodes of the smallest tree.
        largest: nodes of the largest tree.
        degrees: F: a node's feature is its degree as one of so many, the last for all above.
        split: labels that probes may see: ten folds, random 10 / 10 / 80, or all.
        turn: seed of a random split, or number of the fold that is the test.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        count: int = 320,
        smallest: int = 6,
        largest: int = 16,
        degrees: int = 8,
        split: Literal["random", "folds", "none"] = "folds",
        turn: int = 0,
    ) -> None:
        if path is not None:
            raise ValueError(f"motifs are generated; to read {path}, give --data files:{path}")
        if count < 4 or not 2 <= smallest <= largest or degrees < 2:
            raise ValueError(
                f"count {count}, smallest {smallest}, largest {largest}, degrees {degrees}: four graphs, trees of two "
                "nodes, the smallest first, and two degrees are the least"
            )
        random = np.random.default_rng(0)
        y = np.arange(count) % len(MOTIFS)
        found = [_grow(random, MOTIFS[kind], int(random.integers(smallest, largest + 1))) for kind in y]
        lengths = tuple(size for size, _ in found)
        shifts = np.cumsum((0, *lengths))
        edges = torch.from_numpy(np.concatenate([e + s for (_, e), s in zip(found, shifts)], axis=1))
        both = torch.cat((edges, edges.flip(0)), dim=1)
        x = degree_columns(both, sum(lengths), degrees)
        names = ("ring", "clique", "star", "ladder")
        labels = torch.from_numpy(y.astype(np.int64))
        raw = Raw("generated motifs", "graph", x, both, lengths, labels, names)
        super().__init__(mend(raw, undirected=True, normalize=False), split=split, turn=turn)


def _grow(random: np.random.Generator, motif: tuple[tuple[int, int], ...], tree: int) -> tuple[int, np.ndarray]:
    """Nodes and one-way edges ``[2, E]`` of a random tree of ``tree`` nodes with a motif on one of them."""
    parents = [(int(random.integers(0, n)), n) for n in range(1, tree)]
    joined = [(int(random.integers(0, tree)), tree)]
    grown = [(a + tree, b + tree) for a, b in motif]
    edges = np.array([*parents, *joined, *grown], dtype=np.int64).T
    return int(edges.max()) + 1, edges
