"""Structural objectives, https://arxiv.org/abs/2309.08272: do two spans come from the same paragraph, or document?

The encoder reads both spans with a separator between them, and a binary head on its pooled vector answers. Which spans
are paired is for the views to say, and whether they belong together is their parameter ``same``.

    # B samples, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled_text.ops.replaced import ReplacedHead, replaced_loss


class SameSpan(nn.Module):
    """Tell spans of one text from spans of two; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 1}, params=("same",))
        self.head = ReplacedHead(encoder.dim)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        logits = torch.cat([self.head(encoder(view).pooled) for view in views])
        same = torch.cat([view.params["same"].flatten() for view in views]).bool()
        accuracy = ((logits > 0) == same).float().mean()
        return Loss(union_mean(replaced_loss(logits, same)), {"accuracy": accuracy.detach()})
