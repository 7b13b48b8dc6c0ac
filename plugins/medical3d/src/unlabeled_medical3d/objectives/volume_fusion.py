"""Volume Fusion, https://arxiv.org/abs/2306.16925: tell for each voxel how much of which sub-volume was fused into it.

A foreground is fused into a background in random blocks, with coefficients 0, 1/K, ..., 1; predicting the coefficient
of each voxel is a segmentation task of K + 1 classes, trained with cross-entropy and Dice. The source view holds the
fused volume, the target view the coefficients. A whole U-Net is trained, as in the paper, where the
encoder gives a map a stage. Differs: soft Dice is taken class by class and sample by sample, so that it does not depend
on how samples are spread over ranks; of an encoder of one resolution (a ViT), a decoder over rows gives the classes of
each row's cube.

    # B volumes, V voxels, K + 1 levels
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View
from unlabeled.errors import above
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled_medical3d.decoders.painter import Painter
from unlabeled_medical3d.objectives.restoration import pairs_of, voxels_of


def fusion_loss(logits_BVK: Tensor, level_BV: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and 1 - soft Dice over V voxels of each sample, each ``[B]``; Dice: mean of present levels."""
    logits = full(logits_BVK)
    crossed = F.cross_entropy(logits.transpose(1, 2), level_BV, reduction="none").mean(1)
    true_BVK = F.one_hot(level_BV, logits.shape[-1]).to(logits.dtype)
    shares = logits.softmax(-1)
    both, either = (shares * true_BVK).sum(1), (shares + true_BVK).sum(1)
    present = (true_BVK.sum(1) > 0).to(logits.dtype)
    dice = (2 * both / either.clamp(min=1e-6) * present).sum(1) / present.sum(1)
    return crossed, 1 - dice


class VolumeFusion(nn.Module):
    """Classify the fusion coefficient of each voxel.

    Args:
        levels: K in the paper: coefficients are 0, 1/K, ..., 1; as in the views.
        dice: weight of the Dice term beside the cross-entropy.
        paint: unet trains a decoder with skips beside the encoder; rows paints each row's cube; auto = unet where the
            encoder gives a map a stage.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder | None = None,
        content: int = 0,
        *,
        levels: int = 4,
        dice: float = 1.0,
        paint: Literal["auto", "unet", "rows"] = "auto",
    ) -> None:
        super().__init__()
        above(0, levels=levels)
        above(-1e-9, dice=dice)
        self.painter = Painter(encoder, decoder, content, levels + 1, paint)
        self.needs = Needs(views={"source": 1, "target": 1}, encoder=self.painter.can)
        self.classes, self.dice = levels + 1, dice

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        crossed, dice = [], []
        for source, target in pairs_of(views):
            logits_BVK = self.painter(encoder, source).flatten(2).transpose(1, 2)
            level_BV = voxels_of(target)[:, 0].flatten(1).mul(self.classes - 1).round().long()
            by_sample = fusion_loss(logits_BVK, level_BV)
            crossed.append(by_sample[0])
            dice.append(by_sample[1])
        entropy, overlap = union_mean(torch.cat(crossed)), union_mean(torch.cat(dice))
        return Loss(entropy + self.dice * overlap, {"cross_entropy": entropy.detach(), "dice_loss": overlap.detach()})
