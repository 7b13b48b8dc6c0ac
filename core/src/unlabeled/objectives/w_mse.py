"""W-MSE, https://arxiv.org/abs/2007.06346: views of a sample agree after the batch is whitened.

Features are whitened by the inverse Cholesky factor of their covariance, over random sub-batches, and put at length 1;
positives alone are compared. Whitening keeps a batch spread over all directions, so that nothing else is needed against
collapse. Differs: sub-batches are drawn by (step, sample), the same for all views; the last ones are as equal as the
batch allows.

    # B samples of all ranks, V views, D features, S samples of a sub-batch
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least, within
from unlabeled.nn.chance import draw_at
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full, full_precision


def whiten(z_SD: Tensor, shrink: float = 0.0) -> Tensor:
    """L^-1 (z - mean), where L L^T = (1 - shrink) covariance + shrink I: equations 4 and 5.

    >>> whiten(torch.tensor([[1.0], [-1.0]]))
    tensor([[ 0.7071],
            [-0.7071]])
    """
    centered = z_SD - z_SD.mean(0)
    covariance = centered.T @ centered / max(1, len(z_SD) - 1)
    eye = torch.eye(z_SD.shape[1], dtype=z_SD.dtype, device=z_SD.device)
    factor, failed = torch.linalg.cholesky_ex((1 - shrink) * covariance + shrink * eye)
    factor = torch.where(failed == 0, factor, torch.nan)  # not an error at once: the device would be waited for
    return torch.linalg.solve_triangular(factor, centered.T, upper=False).T


def w_mse_loss(z_VBD: Tensor, order_B: Tensor, size: int, shrink: float) -> Tensor:
    """Equation 3: the mean squared distance of positives, whitened by sub-batches of ``size`` rows in this order."""
    parts = order_B.tensor_split(max(1, len(order_B) // size))
    losses = []
    for part in parts:
        v = [unit(whiten(z_BD[part], shrink)) for z_BD in z_VBD]
        pairs = [(a - b).square().sum(1) for a, b in combinations(v, 2)]
        losses.append(torch.stack(pairs).mean(0))
    return torch.cat(losses).mean()


class WMSE(nn.Module):
    """Views agree, whitened.

    Args:
        projector: widths of the projection head, hidden and output; (1024, 64) in the paper.
        size: samples of a sub-batch, whose covariance is whitened; 0 = twice the output's width, as in the paper.
        iterations: random divisions into sub-batches that a step averages over, at least 1.
        shrink: of the covariance towards the identity, in [0, 1]; it keeps the factor finite.
    """

    cause = "sub-batches that are too small for the width of the output, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 64), size: int = 0, iterations: int = 1,
        shrink: float = 1e-3,
    ) -> None:  # fmt: skip
        super().__init__()
        at_least(0, size=size)
        above(0, iterations=iterations)
        within(0, 1, shrink=shrink)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.size = size or 2 * projector[-1]
        self.iterations, self.shrink = iterations, shrink
        self.projector = mlp((encoder.dim, *projector))
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = role(views, "global")
        z = [self.projector(encoder(view).pooled) for view in chosen]
        words = draw_at(self.clock.step, chosen[0].batch.ids).words(self.iterations, Purpose.NEGATIVE)
        orders = torch.argsort(gather(words), dim=0, stable=True)
        with full_precision(z[0]):
            # double precision: a factor of nearly singular features loses half of its digits
            together = torch.stack([gather(full(z_BD)).double() for z_BD in z])
            found = [w_mse_loss(together, order, self.size, self.shrink) for order in orders.T]
            total = torch.stack(found).mean().to(full(z[0]).dtype)
        return Loss(total, {"w_mse": total.detach()})
