"""k-means on frozen features against the labels: normalized mutual information and adjusted Rand index.

As many clusters as classes, found on train without its labels; test samples go to the nearest center and are compared
with their labels. k-means++ and the two scores are scikit-learn's.

    # N samples, D features
"""

import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks, Embedded
from unlabeled.errors import at_least
from unlabeled.probes.splits import require_labels


def clusters(train_x: Tensor, test_x: Tensor, *, count: int, restarts: int, seed: int) -> Tensor:
    """The cluster of each row of ``test_x[M, D]``, of the best of ``restarts`` k-means fits on ``train_x[N, D]``."""
    import warnings

    import torch
    from sklearn.cluster import KMeans as Fit
    from sklearn.exceptions import ConvergenceWarning

    fit = Fit(n_clusters=min(count, len(train_x)), n_init=restarts, random_state=seed)
    with warnings.catch_warnings():
        # fewer distinct points than clusters is what collapsed features look like: the score says it
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(F.normalize(train_x.float(), dim=1).numpy())
    return torch.from_numpy(fit.predict(F.normalize(test_x.float(), dim=1).numpy())).long()


class KMeans:
    """k-means NMI and ARI on test.

    Args:
        restarts: k-means++ starts, of which the tightest is kept; at least 1.
        seed: of the starts.
    """

    asks = Asks(labels=True)

    def __init__(self, *, restarts: int = 10, seed: int = 0) -> None:
        at_least(1, restarts=restarts)
        self.restarts, self.seed = restarts, seed
        self.spec = f"kmeans-v1: L2-normalized, k=classes, best of {restarts} k-means++ on train, scored on test"

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

        train_x, train_y, test_x, test_y = require_labels(train, test)
        found = clusters(train_x, test_x, count=len(train_y.unique()), restarts=self.restarts, seed=self.seed)
        truth, guess = test_y.numpy(), found.numpy()
        return {
            "nmi": float(normalized_mutual_info_score(truth, guess)),
            "ari": float(adjusted_rand_score(truth, guess)),
        }
