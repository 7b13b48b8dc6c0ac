"""Gradient-boosted trees on a node's neighborhood: what its features and those around it say without any encoder.

Asked of the row ``neighborhood`` alone, on the split that ``public`` is asked on, else on that of ``random_split``.
Trees read counts and scales that a linear layer cannot; where they beat the pre-trained row, so should a user.

    # N nodes, D features
"""

from typing import Any

import numpy as np

from unlabeled.contract import Asks
from unlabeled.errors import above
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.table import BASELINE
from unlabeled_graph.baselines import Neighborhood
from unlabeled_graph.data import splits
from unlabeled_graph.probes.nodes import by_class


class Boosted:
    """Accuracy of scikit-learn's histogram gradient boosting.

    Args:
        rounds: of boosting, at least 1.
        lr: shrinkage of each round, above 0.
    """

    asks = Asks(reads="encoder", labels=True, draws=True, kinds=(BASELINE,))

    def __init__(self, *, rounds: int = 100, lr: float = 0.1) -> None:
        above(0, rounds=rounds, lr=lr)
        self.rounds, self.lr = rounds, lr
        self.spec = (
            f"boosted-v1: the data's own train and test samples, else 10 / 10 / 80 of each class by seed, "
            f"HistGradientBoosting, {rounds} rounds, lr {lr:g}, 5 samples a leaf or more, of the row neighborhood alone"
        )

    def applies(self, data: Any) -> bool:
        """Where nodes are the samples, and all are read at once."""
        return bool(data.spec.level == "node" and data.all_labels is not None and data.sampling == "whole")

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        if not isinstance(frozen.encoder, Neighborhood):
            return {}
        from sklearn.ensemble import HistGradientBoostingClassifier

        data: Any = frozen.data
        x, y, part = frozen.embed().x.numpy(), data.all_labels.numpy(), _split(frozen)
        trees = HistGradientBoostingClassifier(
            learning_rate=self.lr, max_iter=self.rounds, min_samples_leaf=5, early_stopping=False, random_state=0
        )
        train, test = part.train.numpy(), part.test.numpy()
        return {"accuracy": float(np.mean(trees.fit(x[train], y[train]).predict(x[test]) == y[test]))}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class of train."""
        data: Any = frozen.data
        part = _split(frozen)
        return {"accuracy": by_class(data.all_labels, part.train, part.test)}


def _split(frozen: Frozen) -> splits.Split:
    data: Any = frozen.data
    own = splits.has(data.raw, "public")
    found: splits.Split = data.split(protocol="public") if own else data.split(frozen.seed, "random")
    return found
