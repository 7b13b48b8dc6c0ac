"""Features of texts, pairs on either side of a split, and a linear classifier: the ground of the probes of text.

TF-IDF vectors are sparse and stay so; all else is dense.

    # N texts, P pairs, D features
"""

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from unlabeled.contract import Embedded
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.linear import Linear, hold_out
from unlabeled.probes.splits import TEST_SHARE, shuffled

Matrix = Any  # float32 ndarray [N, D], or a scipy CSR matrix of that shape
GRID = (1e-2, 1e-1, 1.0, 10.0, 100.0)  # inverse strengths for sparse rows of length 1, which are not standardized


def features(frozen: Frozen, ids: Tensor) -> Matrix:
    """``[N, D]`` of the texts ``ids``: TF-IDF rows as they are, pooled vectors of anything else."""
    if hasattr(frozen.encoder, "sparse"):
        return frozen.encoder.sparse(ids)
    return frozen.embed(ids).x.numpy()


def unit_rows(x: Matrix) -> Matrix:
    """Rows at length 1; a zero row stays zero."""
    if sparse.issparse(x):
        length = np.sqrt(x.multiply(x).sum(1)).A1
        return sparse.diags(1 / np.maximum(length, 1e-12)) @ x
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def cosines(a: Matrix, b: Matrix) -> np.ndarray:
    """Cosine of each row of ``a`` with the same row of ``b``: ``[N]``."""
    a, b = unit_rows(a), unit_rows(b)
    return a.multiply(b).sum(1).A1 if sparse.issparse(a) else (a * b).sum(1)


def pair_features(frozen: Frozen, pairs_P2: Tensor) -> tuple[Matrix, Matrix]:
    """Features of the first and of the second texts of pairs; a text that stands in several is encoded once."""
    ids, where = pairs_P2.unique(return_inverse=True)
    x = features(frozen, ids)
    return x[where[:, 0].numpy()], x[where[:, 1].numpy()]


def pair_sides(data: Any, seed: int, known_P: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of the train and test pairs among ``known_P``: the data's own split, or else a fifth by seed."""
    numbers = torch.nonzero(known_P).flatten()
    held = getattr(data, "pair_test", None)
    if held is not None and bool(held[numbers].any()) and not bool(held[numbers].all()):
        return numbers[~held[numbers]], numbers[held[numbers]]
    order = numbers[shuffled(numbers, seed, view=4)]
    count = max(1, round(TEST_SHARE * len(order)))
    return order[count:].sort().values, order[:count].sort().values


def majority(train_y: Tensor, test_y: Tensor) -> float:
    """Accuracy of always saying the most frequent class of train."""
    return (test_y == train_y.mode().values).float().mean().item()


def accuracy(train_x: Matrix, train_y: Tensor, test_x: Matrix, test_y: Tensor) -> float:
    """Of logistic regression: core's linear probe on dense features, scikit-learn's on sparse ones."""
    if not sparse.issparse(train_x):
        sides = (Embedded(torch.from_numpy(np.asarray(x)), y) for x, y in ((train_x, train_y), (test_x, test_y)))
        return Linear()(*sides)["accuracy"]
    from sklearn.linear_model import LogisticRegression

    def fit(rows: np.ndarray, strength: float) -> Any:
        return LogisticRegression(C=strength, max_iter=500).fit(train_x[rows], train_y.numpy()[rows])

    target = train_y.unique(return_inverse=True)[1]
    fitted, held = (part.numpy() for part in hold_out(target, 0.2, 0))
    best = 1.0
    if len(held):
        scores = {C: fit(fitted, C).score(train_x[held], train_y.numpy()[held]) for C in GRID}
        best = max(GRID, key=lambda C: scores[C])
    return float(fit(np.arange(len(target)), best).score(test_x, test_y.numpy()))
