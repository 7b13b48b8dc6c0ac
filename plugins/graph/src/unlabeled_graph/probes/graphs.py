"""Graph classification by a support vector machine in 10 folds, as InfoGraph, GraphCL and GraphMAE are measured.

Features are standardized on each fold's train part; C is chosen there by 5 inner folds; the mean accuracy over the 10
folds is reported. The seed reshuffles the folds: seeds that only retrain on the same folds hide most of the spread.

    # N graphs, D features
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import Asks
from unlabeled.errors import above
from unlabeled.probes.frozen import Frozen
from unlabeled_graph.data import splits

GRID = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)


def fold_scores(
    x: np.ndarray, y: np.ndarray, *, folds: int, inner: int, seed: int, grid: tuple[float, ...]
) -> list[float]:
    """Accuracy on each of ``folds`` stratified folds; the kernel of a fold serves every C and inner fold."""
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    scores = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, y):
        scaler = StandardScaler().fit(x[train])
        known, asked = scaler.transform(x[train]), scaler.transform(x[test])
        gamma = 1 / max(known.shape[1] * known.var(), 1e-12)
        inside = StratifiedKFold(inner, shuffle=True, random_state=seed)
        search = GridSearchCV(SVC(kernel="precomputed"), {"C": list(grid)}, cv=inside)
        search.fit(rbf_kernel(known, gamma=gamma), y[train])
        scores.append(float(search.score(rbf_kernel(asked, known, gamma=gamma), y[test])))
    return scores


class SVC10Fold:
    """Support vector machine with a radial kernel, 10 folds.

    Args:
        folds: at least 2.
        inner: folds on which C is chosen, at least 2.
        most: samples above which it is not asked: its time grows with their square.
    """

    asks = Asks(reads="encoder", labels=True, draws=True)

    def __init__(self, *, folds: int = 10, inner: int = 5, most: int = 5000) -> None:
        above(1, folds=folds, inner=inner)
        self.folds, self.inner, self.most = folds, inner, most
        self.spec = (
            f"svc-v2: standardized by each fold's train part, SVC (RBF, C of 1e-3 to 1e3 by {inner} folds of train), "
            f"mean accuracy over {folds} stratified folds drawn by seed"
        )

    def applies(self, data: Any) -> bool:
        """Where graphs are the samples, each class has enough of them, and there are not too many."""
        if data.spec.level != "graph" or data.all_labels is None or not 0 < len(data) <= self.most:
            return False
        counts = torch.bincount(data.all_labels[data.all_labels >= 0])
        return len(counts) > 1 and int(counts[counts > 0].min()) >= max(self.folds, 2 * self.inner)

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        data: Any = frozen.data
        known = data.all_labels >= 0
        x, y = frozen.embed().x[known].double().numpy(), data.all_labels[known].numpy()
        scores = fold_scores(x, y, folds=self.folds, inner=self.inner, seed=frozen.seed, grid=GRID)
        return {"accuracy": float(np.mean(scores))}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class."""
        data: Any = frozen.data
        known = data.all_labels[data.all_labels >= 0]
        return {"accuracy": float((known == known.mode().values).float().mean())}


def auc(x_ND: Tensor, y_N: Tensor, train: Tensor, test: Tensor) -> float:
    """Area under the ROC curve of ``test[M]``, of a logistic regression on ``train[L]``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = x_ND.double().numpy(), y_N.numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x[train], y[train])
    return float(roc_auc_score(y[test], model.predict_proba(x[test])[:, 1]))


class ScaffoldAUC:
    """Area under the ROC curve of logistic regression, on the split that the data fixes, for two classes."""

    asks = Asks(reads="encoder", labels=True)
    spec = "auc-v1: the data's own train and test graphs, standardized, logistic regression (L2, C = 1), ROC-AUC"

    def applies(self, data: Any) -> bool:
        """Where graphs of two classes have a split of their own."""
        if data.spec.level != "graph" or data.all_labels is None or not splits.has(data.raw, "public"):
            return False
        return bool(len(data.all_labels[data.all_labels >= 0].unique()) == 2)

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        data: Any = frozen.data
        part = data.split(protocol="public")
        return {"auc": auc(frozen.embed().x, data.all_labels, part.train, part.test)}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """A guess ranks no graph above another."""
        return {"auc": 0.5}
