"""Features without a model: intensity histograms, moments as radiomics has them, and raw patches.

# B volumes, C channels, X Y Z voxels, T rows
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Features, View
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.rows import grid_layout, triple
from unlabeled_medical3d.ops.grids import cubes, gradient_magnitude
from unlabeled_medical3d.ops.intensity import otsu

EPS = 1e-12


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


class Moments:
    """First-order and shape features of radiomics, https://doi.org/10.1158/0008-5472.CAN-17-0339: ``[B, C * 21]``.

    Of each channel: mean, deviation, skewness and kurtosis of its intensities, of those of the foreground (above Otsu's
    threshold) and of the lengths of their gradient; energy and entropy of its histogram; the foreground's share of the
    volume, its center and its spread along x, y and z, in shares of the view.

    Args:
        bins: of the histogram, at least 2.
    """

    def __init__(self, spec: VolumeSpec, *, bins: int = 32) -> None:
        self.histogram = IntensityHistogram(spec, bins=bins)

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        x_BCXYZ = batch.images.float()
        level_BC = torch.tensor([[otsu(channel.flatten()) for channel in image] for image in x_BCXYZ])
        body_BCXYZ = (x_BCXYZ > level_BC.to(x_BCXYZ)[..., None, None, None]).float()
        share_BCK = self.histogram(view).unflatten(1, (x_BCXYZ.shape[1], -1))
        entropy_BC = -torch.special.xlogy(share_BCK, share_BCK).sum(2)
        whole = torch.ones_like(body_BCXYZ)
        found = [moments(x_BCXYZ, whole), moments(x_BCXYZ, body_BCXYZ), moments(gradient_magnitude(x_BCXYZ), whole)]
        texture = torch.stack((share_BCK.square().sum(2), entropy_BC), 2)
        return torch.cat((*found, texture, extent_of(body_BCXYZ)), 2).flatten(1)


def moments(x_BCXYZ: Tensor, weight_BCXYZ: Tensor) -> Tensor:
    """``[B, C, 4]``: mean, deviation, skewness and kurtosis of weighted voxels; of equal ones the last three are 0."""
    weight = weight_BCXYZ / weight_BCXYZ.sum((2, 3, 4), keepdim=True).clamp(min=1)
    mean = (weight * x_BCXYZ).sum((2, 3, 4), keepdim=True)
    second, third, fourth = ((weight * (x_BCXYZ - mean) ** n).sum((2, 3, 4)) for n in (2, 3, 4))
    deviation = second.clamp(min=EPS).sqrt()
    return torch.stack((mean[..., 0, 0, 0], second.sqrt(), third / deviation**3, fourth / deviation**4), 2)


def extent_of(body_BCXYZ: Tensor) -> Tensor:
    """``[B, C, 7]``: share of a foreground of 0 and 1, its center along each axis and its deviation from there."""
    share_BC = body_BCXYZ.mean((2, 3, 4))
    found = [share_BC]
    for axis in (2, 3, 4):
        along = body_BCXYZ.sum([n for n in (2, 3, 4) if n != axis])
        place = (torch.arange(along.shape[2], device=along.device) + 0.5) / along.shape[2]
        weight = along / along.sum(2, keepdim=True).clamp(min=1)
        center = (weight * place).sum(2, keepdim=True)
        found += [center[..., 0], (weight * (place - center).square()).sum(2).sqrt()]
    return torch.stack(found, 2)


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
