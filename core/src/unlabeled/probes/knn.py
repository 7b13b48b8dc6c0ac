"""Weighted k nearest neighbors on frozen features, as in DINO, https://arxiv.org/abs/2104.14294 (after 1805.01978).

Features are L2-normalized; each of the k most similar train samples votes for its class with weight
exp(similarity / T). Exact: no approximate index. Differs from the paper's code: k larger than the train set is clipped.

    # N train samples, M test samples, D features, C classes
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks, Embedded
from unlabeled.errors import above, at_least
from unlabeled.probes.scores import class_chance, classification
from unlabeled.probes.splits import require_labels

CHUNK = 1 << 24  # similarities held at once: 64 MiB in float32


def knn_scores(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, *, classes: int, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """Votes ``[M, C]`` of the k nearest of ``train_x[N, D]`` (labels ``train_y[N]`` in [0, C)) for ``test_x[M, D]``."""
    k = min(k, len(train_x))
    keys_DN = F.normalize(train_x.float(), dim=1).T
    rows = max(1, CHUNK // max(1, len(train_x)))
    scores = []
    for query_BD in F.normalize(test_x.float(), dim=1).split(rows):
        similarity_Bk, index_Bk = (query_BD @ keys_DN).topk(k, dim=1)
        # the nearest neighbor weighs 1: the same votes up to a factor, and no overflow at a small temperature
        weight_Bk = ((similarity_Bk - similarity_Bk[:, :1]) / temperature).exp()
        votes_BC = query_BD.new_zeros(len(query_BD), classes)
        scores.append(votes_BC.scatter_add_(1, train_y[index_Bk], weight_Bk))
    return torch.cat(scores) if scores else test_x.new_zeros(0, classes)


def knn_accuracy(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of ``test_x[M, D]`` whose class has the most votes; labels are int64, 0 and up."""
    classes = int(max(train_y.max(), test_y.max())) + 1
    scores = knn_scores(train_x, train_y, test_x, classes=classes, k=k, temperature=temperature)
    return (scores.argmax(1) == test_y).float().mean().item()


class KNN:
    """Weighted cosine k nearest neighbors.

    Args:
        k: neighbors that vote, at least 1.
        temperature: of the votes, above 0; T in the paper.
    """

    asks = Asks(labels=True, fractions=True)  # also asked with few labels

    def __init__(self, *, k: int = 20, temperature: float = 0.07) -> None:
        at_least(1, k=k)
        above(0, temperature=temperature)
        self.k, self.temperature = k, temperature
        self.spec = f"knn-v1: cosine, k={k}, T={temperature:g} (DINO), exact"

    def predict(self, train: Embedded, test: Embedded) -> tuple[Tensor, Tensor]:
        """Guessed and true classes ``[M]`` of the labeled samples of test."""
        train_x, train_y, test_x, test_y = require_labels(train, test)
        options = {"classes": int(train_y.max()) + 1, "k": self.k}
        return knn_scores(train_x, train_y, test_x, temperature=self.temperature, **options).argmax(1), test_y

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        return classification(*self.predict(train, test))

    def guess(self, train: Embedded, test: Embedded) -> dict[str, float]:
        """What a guess scores that knows the classes of train."""
        _, train_y, _, test_y = require_labels(train, test)
        return class_chance(train_y, test_y)
