"""Models Genesis, https://arxiv.org/abs/1908.06912: restore a sub-volume from a distorted copy of it.

The views distort (non-linear intensity, local shuffling, in- and out-painting); the objective is the mean squared error
over all voxels. A whole U-Net is trained, encoder and decoder, as in the paper, where the encoder gives a map a stage.
Differs: intensities keep the scale of their modality, and the last layer is linear, where the paper scales to 0..1 and
ends in a sigmoid; of an encoder of one resolution (a ViT), a decoder over rows paints each row's cube.

    # B volumes, V numbers
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled_medical3d.decoders.painter import Painter, pairs_of
from unlabeled_medical3d.ops.grids import voxels_of


def restoration_loss(painted_BV: Tensor, target_BV: Tensor) -> Tensor:
    """Mean squared error of each volume: ``[B]``."""
    return (full(painted_BV) - full(target_BV)).square().mean(-1)


class ModelsGenesis(nn.Module):
    """Restore the target view from the source view; the views choose the distortions.

    Args:
        paint: unet trains a decoder with skips beside the encoder; rows paints each row's cube; auto = unet where the
            encoder gives a map a stage.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        content: int,
        *,
        paint: Literal["auto", "unet", "rows"] = "auto",
    ) -> None:
        super().__init__()
        self.painter = Painter(encoder, decoder, content, encoder.spec.channels, paint)
        if self.painter.up is not None:  # a start far off the scale of intensities costs the first hundred steps
            for weight in self.painter.up.output_block.parameters():
                nn.init.zeros_(weight)
        self.needs = Needs(views={"source": 1, "target": 1}, **self.painter.asks)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        found = [
            restoration_loss(self.painter(encoder, source).flatten(1), voxels_of(target).flatten(1))
            for source, target in pairs_of(views)
        ]
        return Loss(union_mean(torch.cat(found)))
