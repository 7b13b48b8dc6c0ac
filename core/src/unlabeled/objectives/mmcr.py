"""MMCR, https://arxiv.org/abs/2303.03307: views of a sample lie close, and their centroids span all directions.

Minus the nuclear norm of the centroids of unit vectors, beside that of each sample's own views. Differs: the norm is of
the samples of all ranks.

    # B samples of all ranks, V views, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import at_least
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full_precision


def nuclear(x: Tensor) -> Tensor:
    """Sum of the singular values of each matrix ``[..., N, D]``.

    >>> nuclear(2 * torch.eye(3))
    tensor(6.)
    """
    return torch.linalg.matrix_norm(x, ord="nuc")


def mmcr_loss(z_VBD: Tensor, within: float) -> Tensor:
    """Equation 2 of unit vectors: -||C||_* + within * mean over samples of ||their views||_*."""
    spread = -nuclear(z_VBD.mean(0))
    return spread + within * nuclear(z_VBD.transpose(0, 1)).mean() if within else spread


class MMCR(nn.Module):
    """Centroids of views span all directions.

    Args:
        projector: widths of the projection head, hidden and output; (8192, 512) in the paper.
        within: weight of the spread of each sample's views, at least 0; lambda, which the paper finds may be 0.
    """

    cause = "too small a batch for the width of the output, or too high a learning rate"

    def __init__(self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), within: float = 0.0) -> None:
        super().__init__()
        at_least(0, within=within)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.within = within
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            total = mmcr_loss(torch.stack([gather(unit(z_BD)) for z_BD in z]), self.within)
        return Loss(total, {"mmcr": total.detach()})
