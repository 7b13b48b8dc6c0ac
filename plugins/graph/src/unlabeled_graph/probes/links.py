"""Link prediction: which pairs of nodes are linked, from frozen features of a graph that lacks a tenth of its links.

Links are held out by seed, in both directions, before the encoder sees the graph. A logistic regression on the product
of two nodes' features (node2vec's Hadamard operator) learns from as many of the kept links and of random pairs, and is
scored on the held-out links and as many other random pairs. Data read with ``held_links`` hid those links from
pre-training too; else an encoder that was pre-trained on the whole graph has seen them.

    # N nodes, E edges, P pairs, D features
"""

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Asks
from unlabeled.draw import Draw, Purpose
from unlabeled.probes.embedding import evaluating, feature_of, take
from unlabeled.probes.frozen import Frozen

MOST = 20_000  # links that it learns from


def undirected(edges_2E: Tensor) -> Tensor:
    """``[2, L]``: each link once, smaller end first."""
    ends = torch.stack((edges_2E.amin(0), edges_2E.amax(0)))
    return ends.unique(dim=1)


def random_pairs(edges_2L: Tensor, nodes: int, count: int, seed: int) -> Tensor:
    """``[2, count]`` distinct pairs that are not linked, smaller end first; fewer where the graph has not as many."""
    draw = Draw(seed, 1, torch.arange(4 * count + 64))
    ends = draw.integers(2, Purpose.EDGE, nodes).T
    key = ends.amin(0) * nodes + ends.amax(0)
    fresh = (ends[0] != ends[1]) & ~torch.isin(key, edges_2L[0] * nodes + edges_2L[1])
    found = key[fresh].unique()
    order = torch.argsort(Draw(seed, 2, found).words(1, Purpose.EDGE)[:, 0])
    found = found[order[:count]]
    return torch.stack((found // nodes, found % nodes))


class LinkPrediction:
    """ROC-AUC and average precision of held-out links.

    Args:
        share: of the links that is held out, in (0, 0.5].
    """

    asks = Asks(reads="encoder", draws=True)

    def __init__(self, *, share: float = 0.1) -> None:
        if not 0 < share <= 0.5:
            raise ValueError(f"share is {share}; it must be in (0, 0.5]")
        self.share = share
        self.spec = (
            f"links-v1: {share:.0%} of the links held out by seed from the graph that the encoder reads, logistic "
            "regression on products of standardized features of both ends, as many random pairs, AUC and AP; "
            "pre-training has seen them unless the data says held_links"
        )

    def applies(self, data: Any) -> bool:
        """Where nodes of one undirected graph are the samples."""
        if data.spec.level != "node" or len(data) < 20:
            return False
        return bool(data.graph.symmetric and data.graph.edges.shape[1] >= 40)

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import average_precision_score, roc_auc_score

        links, kept, held = self._links(frozen)
        x = _features(frozen, torch.cat((kept, kept.flip(0)), dim=1)).double()
        x = (x - x.mean(0)) / x.std(0).clamp(min=1e-9)
        known = kept[:, torch.argsort(Draw(frozen.seed, 3, torch.arange(kept.shape[1])).words(1, Purpose.EDGE)[:, 0])]
        known = known[:, :MOST]
        absent = random_pairs(links, len(x), known.shape[1] + held.shape[1], frozen.seed)
        cut = absent.shape[1] * known.shape[1] // (known.shape[1] + held.shape[1])
        sides = [(known, absent[:, :cut]), (held, absent[:, cut:])]
        (train_x, train_y), (test_x, test_y) = (_pairs(x, *side) for side in sides)
        model = LogisticRegression(max_iter=1000).fit(train_x.numpy(), train_y.numpy())
        guess = model.decision_function(test_x.numpy())
        truth = test_y.numpy()
        return {"auc": float(roc_auc_score(truth, guess)), "ap": float(average_precision_score(truth, guess))}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """A guess ranks no pair above another."""
        return {"auc": 0.5, "ap": 0.5}

    def _links(self, frozen: Frozen) -> tuple[Tensor, Tensor, Tensor]:
        """All links, those that the encoder may see, and those held out."""
        data: Any = frozen.data
        links = undirected(data.graph.edges)
        if data.links is not None:  # held out already, so that pre-training has not seen them either
            return torch.cat((links, data.links[1]), dim=1), links, data.links[1]
        order = torch.argsort(Draw(frozen.seed, 0, torch.arange(links.shape[1])).words(1, Purpose.EDGE)[:, 0])
        count = max(1, round(self.share * links.shape[1]))
        return links, links[:, order[count:].sort().values], links[:, order[:count]]


def _features(frozen: Frozen, edges_2E: Tensor) -> Tensor:
    """``[N, D]`` of every node, of a graph with these edges alone."""
    data: Any = frozen.data
    batch = data.graph
    kept = torch.isin(batch.edges[0] * batch.total + batch.edges[1], edges_2E[0] * batch.total + edges_2E[1])
    attr = None if batch.edge_attr is None else batch.edge_attr[kept]
    batch = batch.altered(edges=batch.edges[:, kept], edge_attr=attr)
    encoder = frozen.encoder.to(frozen.device) if hasattr(frozen.encoder, "to") else frozen.encoder
    with evaluating(encoder):
        view = take(frozen.clean, batch.to(frozen.device), 1, 0)[0]
        return feature_of(encoder(view), "pooled").float().cpu()


def _pairs(x_ND: Tensor, linked_2P: Tensor, absent_2P: Tensor) -> tuple[Tensor, Tensor]:
    pairs = torch.cat((linked_2P, absent_2P), dim=1)
    y = torch.zeros(pairs.shape[1], dtype=torch.int64)
    y[: linked_2P.shape[1]] = 1
    return x_ND[pairs[0]] * x_ND[pairs[1]], y
