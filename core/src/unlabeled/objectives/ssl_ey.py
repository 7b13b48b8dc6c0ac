"""SSL-EY, https://arxiv.org/abs/2310.01012: the Eckart-Young loss of canonical correlation, without a whitening.

-2 tr(C) + ||V||^2 with C the covariances between views and V those within them; its minimum spans the top directions
that views share, so that features neither collapse nor repeat each other. Differs: statistics span all ranks, and one
batch serves both factors of the square, where the paper's unbiased form takes two.

    # B samples of all ranks, V views, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp
from unlabeled.nn.precision import full, full_precision


def eckart_young(z_VBD: Tensor) -> tuple[Tensor, Tensor]:
    """tr(C) and ||V||_F^2, with C the sum of covariances of different views and V that of each with itself.

    Of two views tr(C) = 2 tr cov(z1, z2) and V = cov(z1) + cov(z2). Covariances are over B - 1.

    >>> eckart_young(torch.tensor([[[1.0], [-1.0]], [[1.0], [-1.0]]]))
    (tensor(4.), tensor(16.))
    """
    views, count, _ = z_VBD.shape
    centered = z_VBD - z_VBD.mean(1, keepdim=True)
    together = centered.sum(0)  # cov(sum, sum) = C + V
    within = centered.reshape(views * count, -1)
    inside = within.T @ within / (count - 1)
    between = together.square().sum() / (count - 1) - inside.trace()
    return between, inside.square().sum()


class SSLEY(nn.Module):
    """Views covary, features do not.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 2048, 2048) in the paper.
    """

    cause = "too small a batch for the width of the output, or too high a learning rate"

    def __init__(self, encoder: Any, *, projector: tuple[int, ...] = (512, 512, 256)) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            between, inside = eckart_young(torch.stack([gather(full(z_BD)) for z_BD in z]))
            total = inside - 2 * between
        return Loss(total, {"between": between.detach(), "within": inside.detach()})
