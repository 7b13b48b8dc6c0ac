"""SciNCL, https://arxiv.org/abs/2202.06671: a paper is nearer to one that it is linked with than to one farther off.

Triplet margin loss over Euclidean distances, of the anchor and its near text with each far one; which texts those are
is for the views to say (``neighbors``: ranks 25 and 4,000 of an embedding of the graph of links, and others). SPECTER,
https://arxiv.org/abs/2004.07180, is the same loss with cited papers.

    # B samples, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full


def triplet_loss(anchor_BD: Tensor, near_BD: Tensor, far_BD: Tensor, margin: float) -> Tensor:
    """max(|anchor - near| - |anchor - far| + margin, 0) of each triplet: ``[B]``."""
    anchor, near, far = (full(x) for x in (anchor_BD, near_BD, far_BD))
    return F.relu(F.pairwise_distance(anchor, near) - F.pairwise_distance(anchor, far) + margin)


class SciNCL(nn.Module):
    """Triplets of texts.

    Args:
        margin: by which the far text must be farther, above 0; 1 in the paper.
    """

    def __init__(self, encoder: Any, *, margin: float = 1.0) -> None:
        super().__init__()
        above(0, margin=margin)
        self.needs = Needs(views={"global": 3})
        self.margin = margin

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        anchor, near, *far = (encoder(view).pooled for view in role(views, "global"))
        losses = torch.cat([triplet_loss(anchor, near, other, self.margin) for other in far])
        return Loss(union_mean(losses), {"violated": (losses > 0).float().mean()})
