"""Patches: the voxels of each row, as masked volume modeling reconstructs them.

MAE, https://arxiv.org/abs/2111.06377, in three dimensions. They are the scaled voxels that the encoder reads, channel
slowest, then x, y, z. An encoder with rows for each channel gets the cubes of that channel alone.

    # B samples, T packed rows, W = channels * px * py * pz numbers of a row
"""

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Encoder, Layout
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.ops.grids import cubes


class Patches:
    """Voxels of each row of the encoder; no discrete ids."""

    def __init__(self, spec: VolumeSpec, encoder: Encoder) -> None:
        probe = torch.zeros(1, spec.channels, *spec.size)
        batch = VolumeBatch(torch.zeros(1, dtype=torch.int64), probe, torch.eye(4, dtype=torch.float64)[None])
        grid = encoder.layout(batch).grid or ()
        even = len(grid) in (3, 4) and not any(n % g for n, g in zip(spec.size, grid[-3:]))
        self.width = _cut(probe, grid).shape[1] if even else 0  # 0 = no content to give
        self.vocabulary = 0

    def __call__(self, batch: Any, layout: Layout) -> tuple[Tensor | None, Tensor | None]:
        assert layout.grid is not None, "cubes are cut on a whole grid"
        return _cut(batch.images, layout.grid), None


def _cut(images: Tensor, grid: tuple[int, ...]) -> Tensor:
    return cubes(images, grid) if len(grid) == 3 else cubes(images.flatten(0, 1)[:, None], grid[1:])
