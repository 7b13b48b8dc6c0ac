"""Volume Fusion, https://arxiv.org/abs/2306.16925: tell for each voxel how much of which sub-volume was fused into it.

A foreground is fused into a background in random blocks, with coefficients 0, 1/K, ..., 1; predicting the coefficient
of each voxel is a segmentation task of K + 1 classes, trained with cross-entropy and Dice. The source view holds the
fused volume, the target view the coefficients. A whole U-Net is trained, as in the paper, where the
encoder gives a map a stage. Differs: soft Dice is taken class by class and sample by sample, so that it does not depend
on how samples are spread over ranks; of an encoder of one resolution (a ViT), a decoder over rows gives the classes of
each row's cube.

    # B volumes, V voxels, K + 1 levels
"""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View
from unlabeled.errors import above, at_least
from unlabeled_medical3d.decoders.painter import Painter, painted_classes, pairs_of
from unlabeled_medical3d.ops.grids import voxels_of


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
        decoder: MakeDecoder,
        content: int,
        *,
        levels: int = 4,
        dice: float = 1.0,
        paint: Literal["auto", "unet", "rows"] = "auto",
    ) -> None:
        super().__init__()
        above(0, levels=levels)
        at_least(0, dice=dice)
        self.painter = Painter(encoder, decoder, content, levels + 1, paint)
        self.needs = Needs(views={"source": 1, "target": 1}, **self.painter.asks)
        self.classes, self.dice = levels + 1, dice

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pairs = pairs_of(views)
        return painted_classes([(self.painter(encoder, s), self._levels(t)) for s, t in pairs], self.dice)

    def _levels(self, target: View) -> Tensor:
        """``int64[B, V]``: K times the coefficient of each voxel."""
        return voxels_of(target)[:, 0].flatten(1).mul(self.classes - 1).round().long()
