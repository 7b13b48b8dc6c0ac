"""COLA, https://arxiv.org/abs/2010.10915: two segments of one clip match, segments of other clips do not.

Similarity is bilinear, z1^T W z2, of projected embeddings under LayerNorm and tanh; cross-entropy over the batch of all
ranks, where the paper has one device. Differs: both segments ask in turn, and the mean of the two is taken.

    # B clips of this rank, N of all ranks, P width of the projection
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.errors import above
from unlabeled.nn.distributed import gather, rank
from unlabeled.nn.precision import full, full_precision


def bilinear_scores(anchor_BP: Tensor, other_NP: Tensor, weight_PP: Tensor) -> Tensor:
    """``anchor W other^T``: ``[B, N]``."""
    with full_precision(anchor_BP):
        return full(anchor_BP) @ full(weight_PP) @ full(other_NP).T


class COLA(nn.Module):
    """Contrastive learning between segments of a clip.

    Args:
        width: of the projection.
    """

    cause = "segments that share a shortcut (the noise of a recording), or too high a learning rate"

    def __init__(self, encoder: Any, *, width: int = 512) -> None:
        super().__init__()
        above(0, width=width)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.projector = nn.Sequential(nn.Linear(encoder.dim, width), nn.LayerNorm(width), nn.Tanh())
        self.weight = nn.Parameter(torch.randn(width, width) * width**-0.5)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        first, second = (self.projector(encoder(view).pooled) for view in views[:2])
        truth = torch.arange(len(first), device=first.device) + rank() * len(first)
        losses, right = [], []
        for anchor, other in ((first, second), (second, first)):
            scores = bilinear_scores(anchor, gather(other), self.weight)
            losses.append(F.cross_entropy(scores, truth))
            right.append((scores.argmax(1) == truth).float().mean())
        return Loss(torch.stack(losses).mean(), {"accuracy": torch.stack(right).mean()})
