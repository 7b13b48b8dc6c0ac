"""Voxels painted from an encoder's features: by the upward half of a U-Net, or by a decoder over rows.

Models Genesis and Volume Fusion pre-train a whole U-Net; where the encoder gives a map a stage, so do we, and
``medical3d segment`` takes both halves over. An encoder of one resolution, a ViT, gets a decoder over its rows, each of
which paints its cube.

    # B volumes, K numbers of a voxel, C channels, X Y Z voxels, T rows
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from unlabeled.contract import Capability, MakeDecoder, View
from unlabeled_medical3d.decoders.upward import Upward, climbs, maps_of
from unlabeled_medical3d.ops.grids import uncubes

Paint = Literal["auto", "unet", "rows"]


class Painter(nn.Module):
    """``[B, K, X, Y, Z]`` from a view.

    Args:
        encoder: what is painted from.
        decoder: makes the decoder over rows, where that is the way; None raises ``ValueError`` there.
        content: C * voxels of a row's cube.
        channels: K.
        paint: ``unet``, ``rows``, or ``auto``: ``unet`` where the encoder gives a map a stage.
    """

    def __init__(self, encoder: Any, decoder: MakeDecoder | None, content: int, channels: int, paint: Paint) -> None:
        super().__init__()
        whole = paint == "unet" or (paint == "auto" and climbs(encoder))
        if not whole and (decoder is None or content < 1):
            raise ValueError("painting by rows needs a decoder and the cubes tokenizer: see --decoder, --tokenizer")
        self.up = Upward(encoder, channels) if whole else None
        self.rows = None
        if decoder is not None and not whole:
            self.rows = decoder(dim=encoder.dim, width=content // encoder.spec.channels * channels)
        can: set[Capability] = {"tokens", "layers"} if whole else {"tokens"}
        self.can: frozenset[Capability] = frozenset(can)

    def forward(self, encoder: Any, view: View) -> Tensor:
        batch: Any = view.batch
        images: Tensor = batch.images
        if self.up is not None:
            return self.up(maps_of(encoder, view.clean()), images)
        assert self.rows is not None
        features = encoder(view.clean())
        assert features.layout.grid is not None, "painting needs an encoder whose rows form a grid"
        painted = self.rows(features.tokens, features.layout)
        return uncubes(painted, features.layout.grid, tuple(images.shape[2:]))
