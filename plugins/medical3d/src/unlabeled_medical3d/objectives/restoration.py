"""Models Genesis, https://arxiv.org/abs/1908.06912: restore a sub-volume from a distorted copy of it.

The views distort (non-linear intensity, local shuffling, in- and out-painting); the objective is the mean squared error
over all voxels. A whole U-Net is trained, encoder and decoder, as in the paper, where the encoder gives a map a stage.
Differs: intensities keep the scale of their modality, and the last layer is linear, where the paper scales to 0..1 and
ends in a sigmoid; of an encoder of one resolution (a ViT), a decoder over rows paints each row's cube.

    # B volumes, V numbers
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View, role
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled_medical3d.decoders.painter import Painter
from unlabeled_medical3d.ops.grids import cubes


def restoration_loss(painted_BV: Tensor, target_BV: Tensor, *, power: int = 2) -> Tensor:
    """Mean of ``|painted - target| ** power`` along the last axis: ``[B]``."""
    error = full(painted_BV) - full(target_BV)
    return (error.square() if power == 2 else error.abs()).mean(-1)


def pairs_of(views: Sequence[View]) -> list[tuple[View, View]]:
    """Each source view with the target view of the same number."""
    sources = role(views, "source")
    targets = role(views, "target")
    assert len(sources) == len(targets), (len(sources), len(targets))
    return list(zip(sources, targets, strict=True))


def voxels_of(view: View) -> Tensor:
    """``[B, C, X, Y, Z]``."""
    batch: Any = view.batch
    images: Tensor = batch.images
    return images


def target_cubes(encoder: Any, source: View, target: View) -> Tensor:
    """``[T, W]``: the target's voxels, cut as the encoder cuts the source."""
    layout = source.layout or encoder.layout(source.batch)
    assert layout.grid is not None, "restoration needs an encoder whose rows form a grid"
    return cubes(voxels_of(target), layout.grid)


class ModelsGenesis(nn.Module):
    """Restore the target view from the source view; the views choose the distortions.

    Args:
        paint: unet trains a decoder with skips beside the encoder; rows paints each row's cube; auto = unet where the
            encoder gives a map a stage.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder | None = None,
        content: int = 0,
        *,
        paint: Literal["auto", "unet", "rows"] = "auto",
    ) -> None:
        super().__init__()
        self.painter = Painter(encoder, decoder, content, encoder.spec.channels, paint)
        if self.painter.up is not None:  # a start far off the scale of intensities costs the first hundred steps
            for weight in self.painter.up.output_block.parameters():
                nn.init.zeros_(weight)
        self.needs = Needs(views={"source": 1, "target": 1}, encoder=self.painter.can)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        found = [
            restoration_loss(self.painter(encoder, source).flatten(1), voxels_of(target).flatten(1))
            for source, target in pairs_of(views)
        ]
        return Loss(union_mean(torch.cat(found)))
