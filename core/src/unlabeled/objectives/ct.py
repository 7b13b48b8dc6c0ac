"""Contrastive tension, https://openreview.net/forum?id=Ov_sMNau-PF: two encoders that start alike and agree on texts.

The same text under both encoders should have a large inner product, different texts a small one, by binary
cross-entropy; both encoders learn. Differs: the K negatives of a text are the next K of the batch, in every rank alike;
``in_batch`` is the variant of sentence-transformers: cross-entropy among all texts of the batch, by scaled cosine.

    # B samples of all ranks, b of this rank, K negatives, D features
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.errors import above
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import info_nce, own_rows
from unlabeled.nn.precision import full, full_precision

GREATEST = math.log(100.0)  # as in CLIP, https://arxiv.org/abs/2103.00020


def tension(first_bD: Tensor, second_bD: Tensor, negatives: int) -> Tensor:
    """Mean binary cross-entropy of one positive and K negative inner products a text."""
    first, second = full(first_bD), gather(full(second_bD))
    if negatives >= len(second):
        raise ValueError(f"negatives is {negatives}, and a batch has {len(second) - 1} other texts; raise --batch-size")
    offsets = torch.arange(negatives + 1, device=first.device)
    partner = (own_rows(first)[:, None] + offsets) % len(second)
    logits = torch.einsum("bd,bkd->bk", first, second[partner])
    target = (offsets == 0).to(logits.dtype).expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, target)


def in_batch_tension(first_bD: Tensor, second_bD: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of the same text among all texts of the batch, in both directions."""
    first, second = unit(first_bD) * scale, unit(second_bD)
    ours = own_rows(second)
    one = info_nce(first, gather(second), ours, 1.0)
    return (one + info_nce(second, gather(first), ours, 1.0)) / 2


class CT(nn.Module):
    """Two encoders that agree on texts.

    Args:
        negatives: of each text, K, at least 1; 7 in the paper; unused in_batch.
        in_batch: cross-entropy among all texts of the batch, in place of the paper's binary one.
        scale: on cosines in_batch, learned from this start, above 0.
    """

    cause = "too high a learning rate: the paper's falls step by step"

    def __init__(self, encoder: Any, *, negatives: int = 7, in_batch: bool = False, scale: float = 20.0) -> None:
        super().__init__()
        above(0, negatives=negatives, scale=scale)
        self.needs = Needs(views={"global": 1}, uses=("global",), batch=2, couples=True)
        self.negatives, self.in_batch = negatives, in_batch
        self.second = copy.deepcopy(encoder)
        if hasattr(encoder, "prepare"):
            self.second.prepare(self.needs)
        self.log_scale = nn.Parameter(torch.tensor(scale).log()) if in_batch else None

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        first, second = encoder(views[0]).pooled, self.second(views[-1]).pooled
        with full_precision(first):
            if self.log_scale is not None:
                return Loss(in_batch_tension(first, second, self.log_scale.clamp(max=GREATEST).exp()))
            return Loss(tension(first, second, self.negatives))
