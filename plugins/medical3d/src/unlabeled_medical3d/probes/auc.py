"""Area under the ROC curve of a linear probe on frozen features of volumes,
https://doi.org/10.1148/radiology.143.1.7063747.

The probability that a random volume of a class gets a higher score for it than a random volume of another class, ties
counted half; for more than two classes the mean over them. Scores are those of core's ``linear`` probe: standardized
features, L2 logistic regression, C chosen on train.

    # N samples, D features, K classes
"""

import torch
from torch import Tensor

from unlabeled.contract import Asks, Embedded
from unlabeled.probes.linear import choose, fit, one_thread_if, principal_axes, standardize
from unlabeled.probes.splits import require_labels

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
SMALL = 1 << 21


def auc(scores_N: Tensor, positive_N: Tensor) -> float:
    """Rank statistic of ``scores`` for ``positive`` (bool) against the rest; 0.5 is chance."""
    ups, downs = scores_N[positive_N].double(), scores_N[~positive_N].double().sort().values
    if not len(ups) or not len(downs):
        raise ValueError("an area under the curve needs samples of both sides in test")
    below = torch.searchsorted(downs, ups, right=False)
    up_to = torch.searchsorted(downs, ups, right=True)
    return float((below + up_to).double().sum() / (2 * len(ups) * len(downs)))


def mean_auc(logits_NK: Tensor, y_N: Tensor) -> float:
    """One class against the rest, the mean over classes that test has; of two classes it is one number."""
    shares = logits_NK.softmax(1)
    if shares.shape[1] == 2:
        return auc(shares[:, 1], y_N == 1)
    found = [k for k in range(shares.shape[1]) if 0 < int((y_N == k).sum()) < len(y_N)]
    return sum(auc(shares[:, k], y_N == k) for k in found) / len(found)


class VolumeAUC:
    """Area under the ROC curve of a linear probe.

    Args:
        holdout: share of train on which C is chosen, in (0, 1).
        steps: most L-BFGS steps of a fit, at least 1.
    """

    asks = Asks(labels=True)

    def __init__(self, *, holdout: float = 0.2, steps: int = 200) -> None:
        if not 0 < holdout < 1 or steps < 1:
            raise ValueError(f"holdout {holdout} and steps {steps}: a share in (0, 1), and at least 1")
        self.holdout, self.steps = holdout, steps
        self.spec = (
            f"auc-v1: standardized, L2 logistic regression, C of {{{', '.join(f'{C:g}' for C in GRID)}}} on "
            f"{holdout:.0%} of train, refit; one class against the rest, mean"
        )

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        train_x, train_y, test_x, test_y = require_labels(train, test)
        known, target = train_y.unique(return_inverse=True)
        seen = torch.isin(test_y, known)
        place = torch.searchsorted(known, test_y[seen])
        train_x, test_x = standardize(train_x.float(), test_x[seen].float())
        axes, _ = principal_axes(train_x)
        z = train_x @ axes
        with one_thread_if(z.numel() < SMALL):
            C, start = choose(z, target, len(known), GRID, self.holdout, 0, self.steps)
            model = fit(z, target, len(known), C, start=start, steps=self.steps)
        return {"auc": mean_auc(model(test_x @ axes), place)}
