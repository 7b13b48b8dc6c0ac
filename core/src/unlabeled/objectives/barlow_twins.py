"""Barlow Twins, https://arxiv.org/abs/2103.03230: the cross-correlation of two views should be the identity.

Differs: statistics and correlation are those of the whole batch on all ranks, with exact gradients (the official code
all-reduces without a gradient factor); takes any number of global views and averages over their pairs.

    # B samples, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import at_least
from unlabeled.nn.heads import mlp
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.whitening import cross_correlation, standardize


def barlow_twins_loss(correlation_DD: Tensor) -> tuple[Tensor, Tensor]:
    """The invariance and the redundancy term: squared distance of the diagonal from 1, of the rest from 0."""
    diagonal = correlation_DD.diagonal()
    return (diagonal - 1.0).square().sum(), correlation_DD.square().sum() - diagonal.square().sum()


class BarlowTwins(nn.Module):
    """Make features of two views agree, and differ from each other.

    Args:
        projector: widths of the projection head, hidden and output; (8192, 8192, 8192) in the paper.
        redundancy: weight of the off-diagonal term, at least 0; lambda in the paper.
    """

    cause = "too low a weight on the term against collapse, or too small a batch for it"

    def __init__(self, encoder: Any, *, projector: tuple[int, ...] = (512, 512, 512), redundancy: float = 5e-3) -> None:
        super().__init__()
        at_least(0, redundancy=redundancy)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.redundancy = redundancy
        self.projector = mlp((encoder.dim, *projector), bias=False)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            standard = [standardize(full(z_BD)) for z_BD in z]
            pairs = [barlow_twins_loss(cross_correlation(a, b)) for a, b in combinations(standard, 2)]
            on, off = (torch.stack(terms).mean() for terms in zip(*pairs, strict=True))
            total = on + self.redundancy * off
        return Loss(total, {"invariance": on.detach(), "redundancy": off.detach()})
