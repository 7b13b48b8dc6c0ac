"""SelfTask, https://arxiv.org/abs/2006.10141: what a graph tells about itself, without labels, as pretext tasks.

degree      the log degree of each node
links       whether two nodes were linked, for edges that the encoder's view left out
hops        how many steps lie between two nodes: 1, 2, 3, or more
clusters    the steps from each node to the centers of the graph's clusters
attributes  the features of nodes that are hidden
similarity  the cosine of two nodes' features
distances   the least, mean and greatest steps to the labeled nodes of each class (Distance2Labeled)
context     the labels around a node, two steps far, where unlabeled nodes have propagated ones (ContextLabel)

The last two read the labels of train nodes, which the data hand out under ``--data.teach true``, as does classifying
those nodes beside any task (``supervised``): the joint loss of the paper. Differs: clusters are equal parts of a
reverse Cuthill-McKee order, where the paper cuts the graph with METIS; pairs of similarity are linked nodes and as
many random ones that are not; labels are propagated, without the paper's classifier of neighborhoods (ICA), its
ensemble of both and its correction.

    # T packed rows, P pairs, K centers, D features, C numbers of content in a row
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Capability, Layout, Loss, Needs, View, role
from unlabeled.draw import Purpose
from unlabeled.errors import UsageError, above, at_least
from unlabeled.nn.chance import row_words, uniform
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import all_reduce, union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled.transfer import tally
from unlabeled_graph.ops.chance import exact
from unlabeled_graph.ops.distances import centers, degrees, hops, label_context, label_distances
from unlabeled_graph.ops.links import absent_edges

DEPTH = 3  # steps told apart
OUTPUTS = {"degree": 1, "links": 1, "hops": DEPTH + 1, "similarity": 1}
PAIRS = ("links", "hops", "similarity")
TAUGHT = ("distances", "context")


def pair_features(tokens_TD: Tensor, pairs_2P: Tensor) -> Tensor:
    """``[P, D]``: the absolute difference of two rows, as in the paper."""
    return (tokens_TD[pairs_2P[0]] - tokens_TD[pairs_2P[1]]).abs()


def missing_edges(all_2E: Tensor, kept_2E: Tensor, total: int) -> Tensor:
    """The edges of the first that the second lacks."""
    keys, kept = (edges[0] * total + edges[1] for edges in (all_2E, kept_2E))
    return all_2E[:, ~torch.isin(keys, kept)]


class SelfTask(nn.Module):
    """One pretext task from the graph itself.

    Args:
        task: degree, links, hops, clusters, attributes or similarity; of labels distances or context.
        centers: clusters whose node of most edges the task clusters measures from, at least 1.
        sources: nodes of one graph from which the task hops measures in a step, at least 1; of many graphs, one each.
        supervised: weight of classifying the labeled nodes, at least 0; 1 / lambda in the paper.
    """

    def __init__(
        self,
        encoder: Any,
        content: int,
        *,
        task: Literal[
            "degree", "links", "hops", "clusters", "attributes", "similarity", "distances", "context"
        ] = "hops",
        centers: int = 10,
        sources: int = 64,
        supervised: float = 0.0,
    ) -> None:
        super().__init__()
        above(0, centers=centers, sources=sources)
        at_least(0, supervised=supervised)
        classes = getattr(getattr(encoder, "spec", None), "taught", 0)
        if (task in TAUGHT or supervised) and not classes:
            raise UsageError(f"task {task} with supervised {supervised} reads labels: give --data.teach true")
        reads = task in ("attributes", "similarity")
        can: frozenset[Capability] = frozenset({"tokens", "mask"} if task == "attributes" else {"tokens"})
        views = {"global": 1, "clean": 1} if task == "links" else {"global": 1}
        uses = () if task == "links" else ("clean",)
        self.needs = Needs(
            views=views,
            uses=uses,
            hidden=task == "attributes",
            content=int(reads),
            encoder=can,
            couples=task == "hops",  # as many pairs of each distance, over the batch
        )
        self.task, self.centers, self.sources = task, centers, sources
        more = {"clusters": centers, "attributes": content, "distances": 3 * classes, "context": classes}
        width = more.get(task) or OUTPUTS[task]
        self.head = nn.Linear(encoder.dim, width)
        self.classes, self.supervised = classes, supervised
        self.classify = nn.Linear(encoder.dim, classes) if supervised else None
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = role(views, "global")[0]
        whole = (role(views, "clean") or [view])[0]
        features = encoder(view)
        layout = encoder.layout(whole.batch)
        if self.task in PAIRS:
            rows = self._pairs(features.tokens, view, layout)
        elif self.task in TAUGHT:
            rows = self._taught(features.tokens, whole, layout)
        else:
            rows = self._nodes(features.tokens, view, layout)
        task = union_mean(rows)
        if self.classify is None:
            return Loss(task, {self.task: task.detach()})
        y = whole.batch.y  # type: ignore[attr-defined]
        labels = union_mean(F.cross_entropy(full(self.classify(features.tokens[y >= 0])), y[y >= 0], reduction="none"))
        return Loss(self.supervised * labels + task, {self.task: task.detach(), "labels": labels.detach()})

    def _taught(self, tokens: Tensor, whole: View, layout: Layout) -> Tensor:
        """Losses of the nodes without a label."""
        y: Tensor = whole.batch.y  # type: ignore[attr-defined]
        memo, key = whole.batch.memo, ("taught", self.task)  # type: ignore[attr-defined]
        if key not in memo:
            memo[key] = (label_distances if self.task == "distances" else label_context)(layout, y, self.classes)
        guess, asked = full(self.head(tokens))[y < 0], y < 0
        guess = guess.softmax(1) if self.task == "context" else guess
        return (guess - memo[key][asked].to(guess.dtype)).square().mean(1)

    def _nodes(self, tokens: Tensor, view: View, layout: Layout) -> Tensor:
        """Losses of rows."""
        if self.task == "attributes":
            assert view.content is not None
            index = target_rows(view)
            return (full(self.head(tokens[index])) - full(view.content[index])).square().mean(1)
        guess = full(self.head(tokens))
        assert layout.edges is not None
        if self.task == "degree":
            return (guess[:, 0] - degrees(layout.edges, layout.total).to(guess.dtype).log1p()).square()
        center_GK = centers(layout, self.centers)
        truth = torch.stack([_to_own(layout, center_GK[:, k]) for k in range(self.centers)], dim=1)
        return (guess - truth.to(guess.dtype)).square().mean(1)

    def _pairs(self, tokens: Tensor, view: View, layout: Layout) -> Tensor:
        """Losses of pairs of rows."""
        assert layout.edges is not None
        if self.task == "hops":
            pairs, truth = self._measured(view, layout)
            return F.cross_entropy(full(self.head(pair_features(tokens, pairs))), truth, reduction="none")
        linked = layout.edges
        if self.task == "links":
            assert view.layout is None or view.layout.edges is not None
            linked = missing_edges(layout.edges, view.batch.edges, layout.total)  # type: ignore[attr-defined]
        words = row_words(view, layout, self.clock.step, Purpose.EDGE)
        pairs = torch.cat((linked, absent_edges(words, linked, layout, layout.edges)), dim=1)
        guess = full(self.head(pair_features(tokens, pairs))[:, 0])
        if self.task == "links":
            sign = torch.ones_like(guess)
            sign[linked.shape[1] :] = -1
            return F.softplus(-sign * guess)
        assert view.content is not None
        truth = F.cosine_similarity(full(view.content)[pairs[0]], full(view.content)[pairs[1]], dim=1)
        return (guess - truth).square()

    def _measured(self, view: View, layout: Layout) -> tuple[Tensor, Tensor]:
        """Pairs of a few sources with all rows of their groups, as many of each distance where there are enough."""
        assert layout.edges is not None
        words = row_words(view, layout, self.clock.step, Purpose.WALK)
        if layout.seeds is None:  # one node of each graph, so that none depends on the batch
            chosen = torch.nonzero(exact(words, layout.group, [min(1, n) for n in layout.lengths]))[:, 0]
        else:
            chosen = torch.argsort(words)[: self.sources]
        steps = hops(layout.edges, chosen, layout.total, DEPTH)
        same = layout.group[:, None] == layout.group[chosen][None]
        row, column = torch.nonzero(same & (steps > 0), as_tuple=True)
        truth = steps[row, column] - 1
        counts = all_reduce(tally(truth, DEPTH + 1).float())
        share = torch.where(counts > 0, counts, torch.inf).min() / counts.clamp(min=1)
        keep = uniform(words[row] ^ words[chosen[column]]) < share[truth]
        return torch.stack((chosen[column], row))[:, keep], truth[keep]


def _to_own(layout: Layout, center_G: Tensor) -> Tensor:
    """``[T]``: steps from each row to this center of its group, at most :data:`DEPTH` + 1."""
    assert layout.edges is not None
    # groups are not joined by edges, so one search from all centers measures each group from its own
    source, target = layout.edges
    reached = torch.zeros(layout.total, device=source.device).index_fill(0, center_G, 1.0)
    found = torch.where(reached > 0, 0, DEPTH + 1)
    for step in range(1, DEPTH + 1):
        reached = (reached.index_add(0, target, reached[source]) > 0).float()
        found = torch.where((reached > 0) & (found > step), step, found)
    return found
