"""CCA-SSG, https://arxiv.org/abs/2106.12484: two views of a node agree, and its features are decorrelated.

Linear in the number of nodes: no pair of nodes is compared. Differs: statistics are those of all ranks; takes any
number of global views and averages the invariance over their pairs, the decorrelation over the views (times two, so
that two views give the paper's sum); 1e-12 is added to variances, so that a constant feature divides by no 0.

    # B samples, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.whitening import EPS, decorrelation_loss, invariance_loss, standardize


class CCASSG(nn.Module):
    """Correlate two views, decorrelate the features.

    Args:
        decorrelation: weight of the decorrelation term, above 0; lambda in the paper, 1e-3 on Cora.
    """

    cause = "too low a weight on the term against collapse, or too small a batch for it"

    def __init__(self, encoder: Any, *, decorrelation: float = 1e-3) -> None:
        super().__init__()
        above(0, decorrelation=decorrelation)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.decorrelation = decorrelation

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [encoder(view).pooled for view in role(views, "global")]
        with full_precision(z[0]):
            standard = [standardize(full(z_BD), EPS) for z_BD in z]
            invariance = torch.stack([invariance_loss(a, b) for a, b in combinations(standard, 2)]).mean()
            decorrelation = 2 * torch.stack([decorrelation_loss(x) for x in standard]).mean()
        total = invariance + self.decorrelation * decorrelation
        return Loss(total, {"invariance": invariance.detach(), "decorrelation": decorrelation.detach()})
