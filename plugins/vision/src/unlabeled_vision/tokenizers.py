"""Patches: the pixels of each row, as masked image modeling reconstructs them.

MAE, https://arxiv.org/abs/2111.06377. A row's numbers are ordered (row of pixels, column of pixels, channel), as in
MAE's own code, transformers and lightly; they are the normalized pixels that the encoder reads.

    # B samples, T packed rows, C = p * p * channels numbers of a row
"""

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Encoder, Layout
from unlabeled_vision.batch import ImageBatch, ImageSpec


def patchify(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """``[B, channels, H, W] -> [B * h * w, p * q * channels]``, patches of H/h x W/w pixels."""
    count, channels, height, width = images.shape
    h, w = grid
    if height % h or width % w:
        raise ValueError(f"images of {height} x {width} px cannot be cut into {h} x {w} equal patches")
    cut = images.reshape(count, channels, h, height // h, w, width // w)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(count * h * w, -1)


class Patches:
    """Pixels of each row of the encoder; no discrete ids."""

    def __init__(self, spec: ImageSpec, encoder: Encoder) -> None:
        probe = ImageBatch(torch.zeros(1, dtype=torch.int64), torch.zeros(1, spec.channels, spec.size, spec.size))
        h, w = encoder.layout(probe).grid or (0, 0)
        even = h > 0 and w > 0 and spec.size % h == 0 and spec.size % w == 0
        self.width = (spec.size // h) * (spec.size // w) * spec.channels if even else 0  # 0 = no content to give
        self.vocabulary = 0

    def __call__(self, batch: Any, layout: Layout) -> tuple[Tensor | None, Tensor | None]:
        assert layout.grid is not None, "patches are cut on a whole grid"
        h, w = layout.grid
        return patchify(batch.images, (h, w)), None
