"""Volume Fusion, https://arxiv.org/abs/2306.16925: tell for each voxel how much of which sub-volume was fused into it.

A foreground is fused into a background in random blocks, with coefficients 0, 1/K, ..., 1; predicting the coefficient
of each voxel is a segmentation task of K + 1 classes, trained with cross-entropy and Dice. The source view holds the
fused volume, the target view the coefficients. Differs: the decoder over rows gives all classes of a row's cube at
once, so any encoder serves; soft Dice is over the batch of one rank's samples, class by class and sample by sample, so
that it does not depend on how samples are spread over ranks.

    # B volumes, T rows, W numbers of a cube, K + 1 levels
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, Progress, View
from unlabeled.errors import above
from unlabeled.heads import full
from unlabeled.objectives.masked import union_mean
from unlabeled_medical3d.objectives.restoration import pairs_of, target_cubes


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
    """

    def __init__(
        self, encoder: Any, decoder: MakeDecoder | None = None, content: int = 0, *, levels: int = 4, dice: float = 1.0
    ) -> None:
        super().__init__()
        if decoder is None or content < 1:
            raise ValueError("volume_fusion needs a decoder and the cubes tokenizer: see --decoder, --tokenizer")
        above(0, levels=levels)
        above(-1e-9, dice=dice)
        self.needs = Needs(views={"source": 1, "target": 1}, encoder=frozenset({"tokens"}))
        self.classes, self.dice = levels + 1, dice
        self.decoder = decoder(dim=encoder.dim, width=content * self.classes)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        crossed, dice = [], []
        for source, target in pairs_of(views):
            features = encoder(source.clean())
            logits_TWK = self.decoder(features.tokens, features.layout).unflatten(-1, (-1, self.classes))
            level_TW = target_cubes(encoder, source, target).mul(self.classes - 1).round().long()
            count = len(source)
            by_sample = fusion_loss(logits_TWK.reshape(count, -1, self.classes), level_TW.reshape(count, -1))
            crossed.append(by_sample[0])
            dice.append(by_sample[1])
        entropy, overlap = union_mean(torch.cat(crossed)), union_mean(torch.cat(dice))
        return Loss(entropy + self.dice * overlap, {"cross_entropy": entropy.detach(), "dice_loss": overlap.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Nothing to do: all state is trained by gradient."""
