"""VICReg, https://arxiv.org/abs/2105.04906: variance, invariance and covariance regularization.

Differs: takes any number of global views; invariance is averaged over their pairs, variance over the views, and the
covariance terms add up to those of two views. As in the official code, the two views' variance terms are halved, and
statistics span all ranks.

    # B samples of all ranks, b samples of this rank, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import at_least
from unlabeled.nn.heads import mlp
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.whitening import variance_and_covariance


class VICReg(nn.Module):
    """Views agree, each feature varies, and no two features covary.

    Args:
        projector: widths of the expander, hidden and output; (8192, 8192, 8192) in the paper.
        invariance: weight of the squared distance between views, at least 0; lambda in the paper.
        variance: weight of the hinge on each feature's deviation, at least 0; mu in the paper.
        covariance: weight of the squared covariances, at least 0; nu in the paper.
    """

    cause = "too low a weight on the term against collapse, or too small a batch for it"

    def __init__(
        self,
        encoder: Any,
        *,
        projector: tuple[int, ...] = (512, 512, 512),
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__()
        at_least(0, invariance=invariance, variance=variance, covariance=covariance)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.invariance, self.variance, self.covariance = invariance, variance, covariance
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            z = [full(z_BD) for z_BD in z]
            invariance = torch.stack([F.mse_loss(a, b) for a, b in combinations(z, 2)]).mean()
            terms = [variance_and_covariance(z_BD) for z_BD in z]
            variance = torch.stack([v for v, _ in terms]).mean()
            covariance = 2.0 * torch.stack([c for _, c in terms]).mean()
            total = self.invariance * invariance + self.variance * variance + self.covariance * covariance
        parts = {"invariance": invariance, "variance": variance, "covariance": covariance}
        return Loss(total, {name: part.detach() for name, part in parts.items()})
