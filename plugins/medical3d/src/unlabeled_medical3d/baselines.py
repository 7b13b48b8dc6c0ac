"""Features without a model: intensity histograms and raw patches.

# B volumes, C channels, X Y Z voxels, T rows
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Features, View
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.rows import grid_layout, triple
from unlabeled_medical3d.ops.grids import cubes


class IntensityHistogram:
    """Shares of voxels in equal bins of the scaled intensities, channel by channel: ``[B, C * bins]``.

    Args:
        bins: of each channel, at least 2.
        low: lower edge of the first bin, on the scale of the views.
        high: upper edge of the last bin; what lies outside counts in the first or last.
    """

    def __init__(self, spec: VolumeSpec, *, bins: int = 32, low: float = -3.0, high: float = 3.0) -> None:
        if bins < 2 or not low < high:
            raise ValueError(f"bins {bins}, low {low}, high {high}: at least 2 bins, and low below high")
        self.bins, self.low, self.high = bins, low, high

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        flat = batch.images.flatten(2).float()
        place = ((flat - self.low) / (self.high - self.low) * self.bins).long().clamp(0, self.bins - 1)
        counts = torch.zeros(*flat.shape[:2], self.bins, device=flat.device)
        return counts.scatter_add_(2, place, torch.ones_like(flat)).div(flat.shape[2]).flatten(1)


class RawPatches:
    """The voxels themselves: a volume averaged to a small grid as one vector, and cubes of voxels as rows.

    Args:
        side: of the small grid that stands for a whole volume.
        patch: side in voxels of a cube that stands for a row, where a probe reads rows.
    """

    def __init__(self, spec: VolumeSpec, *, side: int = 8, patch: int = 8) -> None:
        if side < 1 or patch < 1:
            raise ValueError(f"side {side} and patch {patch} must be at least 1")
        self.side, self.patch = side, patch

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        return F.adaptive_avg_pool3d(batch.images.float(), self.side).flatten(1)

    def rows(self, view: View) -> Features:
        """The voxels of each cube, ``[T, W]``; where ``patch`` divides no side, the next smaller one that does."""
        batch: Any = view.batch
        images = batch.images.float()
        sides = [max(p for p in range(1, self.patch + 1) if n % p == 0) for n in images.shape[2:]]
        grid = triple([n // p for n, p in zip(images.shape[2:], sides, strict=True)])
        return Features(cubes(images, grid), grid_layout(len(images), grid, images.device), self(view))
