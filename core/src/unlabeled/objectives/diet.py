"""DIET, https://arxiv.org/abs/2302.10260: tell which sample of the data a view is of.

One linear layer with an output for each sample, cross-entropy with strong label smoothing; no projector, no pairs, no
teacher. For data of up to some hundred thousand samples. Differs: takes the mean over any number of global views.

    # B samples of the batch, N samples of the data
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import at_least, below_one
from unlabeled.nn.precision import full, full_precision


class DIET(nn.Module):
    """Classify each view as the sample that it was made of.

    Args:
        smoothing: share of the label that is spread over all samples, in [0, 1); 0.8 in the paper.
    """

    cause = "views that are too weak, too few epochs, or too high a learning rate"

    def __init__(self, encoder: Any, samples: int, *, smoothing: float = 0.8) -> None:
        super().__init__()
        at_least(0, smoothing=smoothing)
        below_one(smoothing=smoothing)
        self.needs = Needs(views={"global": 1})
        self.smoothing = smoothing
        self.head = nn.Linear(encoder.dim, samples, bias=False)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, right = [], []
        for view in role(views, "global"):
            scores, ids = self.head(encoder(view).pooled), view.batch.ids
            with full_precision(scores):
                losses.append(F.cross_entropy(full(scores), ids, label_smoothing=self.smoothing))
            right.append((scores.argmax(1) == ids).float().mean())
        total = torch.stack(losses).mean()
        return Loss(total, {"cross_entropy": total.detach(), "accuracy": torch.stack(right).mean()})
