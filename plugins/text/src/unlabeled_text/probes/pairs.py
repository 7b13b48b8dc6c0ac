"""Probes of pairs of texts: graded similarity (STS), classes of pairs, and retrieval of the linked text.

# N texts, P pairs, Q queries, D features
"""

from typing import Any

import numpy as np
import torch
from scipy import sparse, stats
from sklearn.metrics import average_precision_score
from torch import Tensor

from unlabeled.contract import Asks
from unlabeled.probes.frozen import Frozen
from unlabeled_text.probes.reading import (
    Matrix,
    accuracy,
    cosines,
    features,
    majority,
    pair_features,
    pair_sides,
    unit_rows,
)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where either does not vary."""
    return float(stats.spearmanr(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0


class STS:
    """Semantic textual similarity; nothing is fitted, and it has no settings."""

    asks = Asks(reads="encoder")
    spec = "sts-v1: Spearman correlation of the cosine of pooled features with the scores of the held-out pairs"

    def applies(self, data: Any) -> bool:
        """Whether the data has pairs with scores."""
        return getattr(data, "pairs", None) is not None and getattr(data, "scores", None) is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        data: Any = frozen.data
        held = getattr(data, "pair_test", None)
        known = ~data.scores.isnan()
        if held is not None and bool((held & known).any()):
            known = known & held
        scores = data.scores[known].numpy()
        return {"spearman": spearman(cosines(*pair_features(frozen, data.pairs[known])), scores)}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """No correlation."""
        return {"spearman": 0.0}


def joined(a: Matrix, b: Matrix) -> Matrix:
    """``[P, 2 D + 1]``: |a - b|, a * b and the cosine, as InferSent has them."""
    cosine = cosines(a, b)[:, None].astype(np.float32)
    if sparse.issparse(a):
        return sparse.hstack((abs(a - b), a.multiply(b), sparse.csr_matrix(cosine))).tocsr()
    return np.concatenate((np.abs(a - b), a * b, cosine), 1)


class PairClassification:
    """Classes of pairs: entailment, paraphrase, same author; it has no settings."""

    asks = Asks(reads="encoder")
    spec = (
        "pair_classification-v2: linear-v2 on |a - b|, a * b and the cosine; average precision of the cosine alone, "
        "where there are two classes"
    )

    def applies(self, data: Any) -> bool:
        """Whether the data has pairs of at least two classes."""
        labels = getattr(data, "pair_labels", None)
        return labels is not None and len(labels[labels >= 0].unique()) > 1

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        data: Any = frozen.data
        train, test = pair_sides(data, frozen.seed, data.pair_labels >= 0)
        y = data.pair_labels
        a, b = pair_features(frozen, data.pairs[torch.cat((train, test))])
        x, count = joined(a, b), len(train)
        found = {"accuracy": accuracy(x[:count], y[train], x[count:], y[test])}
        if len(y[y >= 0].unique()) == 2:
            found["average_precision"] = float(average_precision_score(y[test].numpy() == 1, cosines(a, b)[count:]))
        return found

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class of train; average precision of a random order is the share of positives."""
        data: Any = frozen.data
        train, test = pair_sides(data, frozen.seed, data.pair_labels >= 0)
        y = data.pair_labels
        found = {"accuracy": majority(y[train], y[test])}
        if len(y[y >= 0].unique()) == 2:
            found["average_precision"] = float((y[test] == 1).float().mean())
        return found


# ---------------------------------------------------------------------------------------------- retrieval


def targets(data: Any, high: float) -> tuple[Tensor, Tensor]:
    """Queries ``[Q]`` and one right answer ``[Q]`` of each: linked texts, or the two of a pair that scores high."""
    if getattr(data, "links", None) is not None:
        found = data.links
    else:
        held = getattr(data, "pair_test", None)
        good = data.scores >= high * data.scores[~data.scores.isnan()].max()
        found = data.pairs[good & held if held is not None and bool((good & held).any()) else good]
    found = found[found[:, 0] != found[:, 1]]
    return found[:, 0], found[:, 1]


def ranks(x: Matrix, query_Q: np.ndarray, answer_Q: np.ndarray, chunk: int = 512) -> np.ndarray:
    """``[Q]``, from 1: place of each answer among all rows of ``x[N, D]`` but the query, by cosine; ties count half."""
    x = unit_rows(x)
    found = []
    for start in range(0, len(query_Q), chunk):
        part, right = query_Q[start : start + chunk], answer_Q[start : start + chunk]
        near = x[part] @ x.T
        near = near.toarray() if sparse.issparse(near) else near
        rows = np.arange(len(part))
        own = near[rows, right][:, None].copy()
        near[rows, part] = -np.inf
        # ties at half: a constant vector must not come out first
        found.append(1 + (near > own).sum(1) + ((near == own).sum(1) - 1) / 2)
    return np.concatenate(found) if found else np.zeros(0)


class Retrieval:
    """The linked text, or the other of a like pair, among all texts.

    Args:
        high: share of the highest score from which a pair counts as alike, in [0, 1].
        most: most queries that are asked, at least 1.
    """

    asks = Asks(reads="encoder")

    def __init__(self, *, high: float = 0.8, most: int = 2000) -> None:
        if not 0 <= high <= 1 or most < 1:
            raise ValueError(f"high is {high} and most is {most}; high must be in [0, 1] and most at least 1")
        self.high, self.most = high, most
        self.spec = (
            f"retrieval-v1: place of the linked text, or of the other of a pair of at least {high:.0%} of the highest "
            f"score, among all texts of the data by cosine; first {most} queries; ties count half"
        )

    def applies(self, data: Any) -> bool:
        """Whether the data has links, or pairs with scores."""
        linked = getattr(data, "links", None) is not None
        return linked or (getattr(data, "pairs", None) is not None and getattr(data, "scores", None) is not None)

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        query, answer = (side[: self.most].numpy() for side in targets(frozen.data, self.high))
        if not len(query):
            return {}
        place = ranks(features(frozen, torch.arange(len(frozen.data))), query, answer)
        return {"recall@10": float((place <= 10).mean()), "mrr": float((1 / place).mean())}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """A random order."""
        others = len(frozen.data) - 1
        return {"recall@10": min(1.0, 10 / others), "mrr": float((1 / np.arange(1, others + 1)).mean())}
