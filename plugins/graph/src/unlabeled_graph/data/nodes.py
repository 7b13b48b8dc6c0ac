"""One graph whose nodes are the samples: what every node-level data set does.

Training sees all nodes and their edges, those of the test among them, but never a label: nodes of one graph cannot be
held out without changing it, and the literature calls this transductive. The graph stays in memory and is handed out
as it is; or a step gets a part of it (``sampling``).

    # N nodes, B samples of a batch, F features
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose, mix64
from unlabeled.errors import UsageError
from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.data import splits
from unlabeled_graph.data.raw import Raw, labels_of
from unlabeled_graph.data.splits import READERS, Labeled, targets_said
from unlabeled_graph.ops.sampling import by_cluster, cluster_order, induced, neighborhoods
from unlabeled_graph.ops.sparse import Pattern, offsets_of, sparse_rows, take

Sampling = Literal["whole", "neighbors", "clusters"]
SPARSE = 0.1  # features with a smaller share of numbers that are not 0 are kept sparse


class Nodes(Labeled):
    """What node-level data sets share. ``split`` and ``turn`` say which labels core's probes may see."""

    transductive = True

    def __init__(
        self,
        raw: Raw,
        *,
        split: str = "public",
        turn: int = 0,
        sampling: str = "whole",
        fanout: tuple[int, ...] = (10, 10),
        cluster: int = 256,
        held_links: float = 0.0,
        teach: bool = False,
    ) -> None:
        if not fanout or min(fanout) < 1 or cluster < 1 or turn < 0:
            raise ValueError(f"fanout {fanout}, cluster {cluster}, turn {turn}: counts from 1 on, and turns from 0 on")
        if not 0 <= held_links < 0.5:
            raise ValueError(f"held_links is {held_links}; it must be in [0, 0.5)")
        self.raw, self.sampling, self.fanout, self.cluster = raw, sampling, fanout, cluster
        self.links: tuple[Tensor, Tensor, Tensor] | None = None
        edges, attr = raw.edges, raw.edge_attr
        if held_links:
            kept, self.links = hold_links(edges, len(raw.x), held_links)
            edges, attr = edges[:, kept], None if attr is None else attr[kept]
        x = raw.x
        if isinstance(x, Tensor) and not raw.mapped:
            x = sparse_rows(x) if x.shape[1] >= 64 and int((x != 0).sum()) < SPARSE * x.numel() else x.float()
        total = len(x)
        self.graph = GraphBatch(
            torch.arange(total),
            x,
            edges,
            (total,),
            edge_attr=attr,
            seeds=torch.arange(total),
            nodes=torch.arange(total),
            symmetric=raw.symmetric,
            complete=True,
        )
        self.facts = raw.facts
        self.pattern = Pattern(offsets_of(edges[1], total), edges[0], total)
        self.order = cluster_order(self.pattern) if sampling == "clusters" else None
        self.spec = GraphSpec(x.shape[1], 0 if attr is None else attr.shape[1], "node", total)
        self.classes = raw.classes
        self.all_labels = labels_of(raw.y)
        self._tell(raw)
        self.protocol = split if splits.has(raw, split) and self.all_labels is not None else "none"
        self.labels, self.test = self.all_labels, None
        if self.protocol != "none":
            self._show(turn)
        elif split == "public" and splits.has(raw, "public"):
            self._hold_out()
        if teach:
            self._teach()

    def _teach(self) -> None:
        """Hand out the labels of train nodes with the graph."""
        if self.labels is None or not self.classes:
            raise UsageError(f"{self.raw.name} has no classes: teach needs some; leave --data.teach out")
        held = torch.zeros(len(self), dtype=torch.bool)
        for other in (self.test, self.val):
            held = held if other is None else held | other
        self.graph = replace(self.graph, y=torch.where(held, -1, self.labels))
        self.spec = replace(self.spec, taught=len(self.classes))

    @property
    def together(self) -> int:
        """Samples that features are taken of at once: all, where that reads the whole graph anyway."""
        return len(self) if self._reads(()) == "whole" else 0

    def _reads(self, indices: Sequence[int]) -> str:
        """What these samples are read with: clusters are for training, as in their paper; probes read the whole graph,
        or neighborhoods where its features stay on the disk."""
        if self.sampling == "clusters" and not hasattr(indices, "epoch"):
            return "neighbors" if self.raw.mapped else "whole"
        return self.sampling

    def __len__(self) -> int:
        return self.graph.total

    def __getitems__(self, indices: Sequence[int]) -> GraphBatch:
        """The whole graph with these nodes as its samples, or the part of it that ``sampling`` says."""
        how = self._reads(indices)
        if how == "whole" and len(indices) == len(self) and list(indices) == list(range(len(self))):
            return self.graph
        ids = torch.as_tensor(indices, dtype=torch.int64)
        if how == "whole":
            return GraphBatch(**{**vars_of(self.graph), "ids": ids, "seeds": ids, "complete": False})
        if how == "neighbors":
            # the sampler of a run says the seed and the epoch; without one, as of probes, both are 0
            draw = Draw(getattr(indices, "seed", 0), getattr(indices, "epoch", 0), ids)
            return self._part(ids, *neighborhoods(self.pattern, draw, self.fanout), torch.arange(len(ids)))
        return self._part(ids, torch.zeros_like(ids), ids.unique(), torch.zeros_like(ids))

    def _part(self, ids: Tensor, sample_T: Tensor, node_T: Tensor, place: Tensor) -> GraphBatch:
        """Nodes ``node[T]`` of groups ``sample[T]``, with the links among them; sample b is in group ``place[b]``."""
        edges, which = induced(self.pattern, sample_T, node_T)
        seeds = torch.searchsorted(sample_T * len(self) + node_T, place * len(self) + ids)
        attr, x = self.graph.edge_attr, take(self.graph.x, node_T)
        return GraphBatch(
            ids,
            x.float() if isinstance(x, Tensor) else x,
            edges,
            tuple(torch.bincount(sample_T).tolist()),
            edge_attr=None if attr is None else attr[which],
            seeds=seeds,
            nodes=node_T,
            y=None if self.graph.y is None else self.graph.y[node_T],
            symmetric=self.graph.symmetric,
        )

    def arrange(self, ids: Tensor, size: int) -> Tensor:
        """The order of an epoch: cluster by cluster, where steps see clusters; sorted, where a step sees all nodes."""
        if self.order is not None:
            return by_cluster(self.order, self.cluster, ids)
        return ids.sort().values if size == len(self) else ids

    def describe(self) -> str:
        graph, about = self.graph, []
        kind = "links" if graph.symmetric else "directed edges"
        count = graph.edges.shape[1] // (2 if graph.symmetric else 1)
        about.append(f"{graph.total:,} nodes, {count:,} {kind}, {self.spec.features:,} features")
        if self.spec.edge_features:
            about.append(f"features of edges ({self.spec.edge_features}), which {READERS} read")
        if self.classes:
            about.append(f"{len(self.classes)} classes")
        if self.test is not None and self.labels is not None:
            shown = int((self.labels >= 0).sum()) - int(self.test.sum())
            about.append(f"{self.protocol} split of {shown:,} train and {int(self.test.sum()):,} test nodes")
        if self.links is not None:
            about.append(f"{self.links[1].shape[1]:,} links held out")
        about += [*targets_said(self.targets), *self.raw.notes]
        known = "without labels" if graph.y is None else f"and the labels of {int((graph.y >= 0).sum()):,} train nodes"
        return f"{self.raw.name}: {', '.join(about)}; training sees all nodes, {known}"


def vars_of(batch: GraphBatch) -> dict[str, Any]:
    """The fields of a batch, which shares its memo with the copy made of them."""
    return {name: getattr(batch, name) for name in GraphBatch.__dataclass_fields__}


def hold_links(edges: Tensor, total: int, share: float) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Which directed edges stay ``bool[E]``, and the links ``[2, M]`` of train, of test, and pairs that are none.

    Links are drawn by their ends, so a link is held out or not whatever else the file holds.
    """
    low, high = edges.min(0).values, edges.max(0).values
    key = pair_key(low, high, total)
    # one of both directions, and whichever there is of an edge that has but one
    forward = (edges[0] < edges[1]) | ~torch.isin(edges[0] * total + edges[1], edges[1] * total + edges[0])
    count = round(share * int(forward.sum()))
    limit = key[forward].sort().values[count] if count else key.min()
    held = key < limit
    test, train = edges[:, held & forward], edges[:, ~held & forward]
    words = Draw(0, 0, torch.arange(4 * count + 64), view=1).integers(2, Purpose.EDGE, total).T
    strange = words[0] != words[1]
    known = torch.isin(words.min(0).values * total + words.max(0).values, low * total + high)
    pairs = torch.unique(words[:, strange & ~known].sort(0).values, dim=1)
    chosen = torch.argsort(pair_key(pairs[0], pairs[1], total))[:count]
    return ~held, (train, test, pairs[:, chosen])


def pair_key(low: Tensor, high: Tensor, total: int) -> Tensor:
    """A word for each pair of nodes, the same in both directions."""
    return mix64(mix64(low * total + high + 1) + int(Purpose.SPLIT))
