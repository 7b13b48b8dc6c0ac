"""Many graphs that are the samples: what every graph-level data set does.

# N graphs, B of a batch, T nodes, E directed edges, K slices
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.data import splits
from unlabeled_graph.data.raw import Raw, labels_of
from unlabeled_graph.data.splits import READERS, Labeled, targets_said
from unlabeled_graph.ops.sparse import offsets_of, take


def ranges(starts_K: Tensor, counts_K: Tensor) -> Tensor:
    """``starts[0] ... starts[0] + counts[0] - 1``, then those of the next: the indices of some slices, joined."""
    owner = torch.arange(len(counts_K)).repeat_interleave(counts_K)
    return torch.arange(len(owner)) + (starts_K - counts_K.cumsum(0) + counts_K)[owner]


class Graphs(Labeled):
    """What graph-level data sets share. ``split`` and ``turn`` say which labels core's probes may see.

    A split that came with the data holds its test graphs out of training too. With folds, every graph is test once,
    so training sees all of them, as in the literature, and never a label.
    """

    def __init__(self, raw: Raw, *, split: str = "public", turn: int = 0) -> None:
        if turn < 0:
            raise ValueError(f"turn is {turn}; it must be at least 0")
        self.raw = raw
        self.x, self.edges, self.edge_attr = raw.x, raw.edges, raw.edge_attr
        self.lengths = torch.tensor(raw.lengths)
        self.starts = F.pad(self.lengths.cumsum(0), (1, 0))
        owner = torch.arange(len(self.lengths)).repeat_interleave(self.lengths)
        self.edge_starts = offsets_of(owner[self.edges[1]], len(self.lengths))
        self.spec = GraphSpec(self.x.shape[1], 0 if raw.edge_attr is None else raw.edge_attr.shape[1], "graph")
        self.classes = raw.classes
        self.all_labels = labels_of(raw.y)
        self._tell(raw)
        self.protocol = split if splits.has(raw, split) and self.all_labels is not None else "none"
        self.labels, self.test = self.all_labels, None
        if self.protocol in ("public", "random"):
            self._show(turn)
        elif splits.has(raw, "public") and split == "public":  # a regression has no labels, but a test all the same
            self._hold_out()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitems__(self, indices: Sequence[int]) -> GraphBatch:
        ids = torch.as_tensor(indices, dtype=torch.int64)
        lengths, edge_counts = self.lengths[ids], self.edge_starts.diff()[ids]
        chosen = ranges(self.edge_starts[ids], edge_counts)
        moved = (lengths.cumsum(0) - lengths - self.starts[ids]).repeat_interleave(edge_counts)
        return GraphBatch(
            ids,
            take(self.x, ranges(self.starts[ids], lengths)),
            self.edges[:, chosen] + moved,
            tuple(lengths.tolist()),
            edge_attr=None if self.edge_attr is None else self.edge_attr[chosen],
            symmetric=self.raw.symmetric,
        )

    def describe(self) -> str:
        nodes, links = float(self.lengths.float().mean()), self.edges.shape[1] / (1 + self.raw.symmetric) / len(self)
        about = [f"{len(self):,} graphs of {nodes:.1f} nodes and {links:.1f} links on average"]
        about.append(f"{self.spec.features:,} features")
        if self.spec.edge_features:
            about.append(f"features of edges ({self.spec.edge_features}), which {READERS} read")
        if self.classes:
            about.append(f"{len(self.classes)} classes")
        if self.test is not None:
            about.append(f"{int(self.test.sum()):,} held out")
        if self.protocol == "folds":
            about.append("ten folds; training sees all graphs, without labels")
        return f"{self.raw.name}: {', '.join([*about, *targets_said(self.targets), *self.raw.notes])}"
