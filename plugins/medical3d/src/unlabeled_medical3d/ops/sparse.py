"""Sparse-style masking of CNNs: hidden cells stay empty in every layer, and no statistic counts them.

SparK, https://arxiv.org/abs/2301.03580: a masked CNN must see the visible cells as a set, or it learns what holes look
like. Convolutions and pools empty hidden cells again after each layer; normalizations take mean and variance over
visible voxels alone. Dense arithmetic with a mask, not submanifold kernels: equal in value, and no library is needed.

``install`` changes the class of a library's modules in place, so parameters and state keys stay the library's, and
with nothing hidden each does what its library class does.

    # B samples, C channels, G groups of channels, X, Y, Z voxels of a map
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.nn.distributed import BatchNorm, all_reduce
from unlabeled.nn.precision import full


class Visible:
    """Which cells of the volumes in the current pass may be seen; nothing is hidden outside of :meth:`of`."""

    def __init__(self) -> None:
        self.map: Tensor | None = None  # float[B, 1, x, y, z], 1 = visible
        self._sizes: dict[tuple[int, ...], Tensor] = {}

    @contextmanager
    def of(self, map_B1xyz: Tensor | None) -> Iterator[None]:
        """Every layer of this network is masked inside."""
        self.map, self._sizes = map_B1xyz, {}
        try:
            yield
        finally:
            self.map, self._sizes = None, {}

    def at(self, x: Tensor) -> Tensor:
        """The mask ``[B, 1, X, Y, Z]`` at the resolution of ``x``, which is at least that of the cells."""
        assert self.map is not None
        size = tuple(x.shape[2:])
        if size not in self._sizes:
            if any(n % m for n, m in zip(size, self.map.shape[2:])):
                raise ValueError(f"a map of {size} cannot be masked by {tuple(self.map.shape[2:])} cells")
            self._sizes[size] = F.interpolate(self.map, size, mode="nearest-exact")
        return self._sizes[size].to(x.dtype)


class SparseConv3d(nn.Conv3d):
    """Convolution whose output is empty at hidden cells."""

    visible: Visible

    def forward(self, input: Tensor) -> Tensor:
        out = super().forward(input)
        return out if self.visible.map is None else out * self.visible.at(out)


class SparseMaxPool3d(nn.MaxPool3d):
    """Pooling whose output is empty at hidden cells."""

    visible: Visible

    def forward(self, input: Tensor) -> Tensor:
        if self.visible.map is None:
            return super().forward(input)
        low = torch.finfo(input.dtype).min
        out = super().forward(input.masked_fill(self.visible.at(input) == 0, low))
        return out.masked_fill(self.visible.at(out) == 0, 0.0)


def _scaled(norm: Any, x: Tensor, mean: Tensor, variance: Tensor, mask: Tensor) -> Tensor:
    """Normalized by these moments, scaled and shifted, and empty where ``mask`` is 0; all in full precision."""
    shape = (1, -1, 1, 1, 1)
    out = (x - mean) * torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out * mask


class SparseInstanceNorm3d(nn.InstanceNorm3d):
    """Mean and variance of each sample and channel over visible voxels."""

    visible: Visible

    def forward(self, input: Tensor) -> Tensor:
        if self.visible.map is None:
            return super().forward(input)
        x = full(input)
        mask = self.visible.at(x)
        count = mask.sum((2, 3, 4), keepdim=True).clamp(min=1)
        mean = (x * mask).sum((2, 3, 4), keepdim=True) / count
        variance = ((x - mean).square() * mask).sum((2, 3, 4), keepdim=True) / count
        return _scaled(self, x, mean, variance, mask).to(input.dtype)


class SparseGroupNorm(nn.GroupNorm):
    """Mean and variance of each sample and group of channels over visible voxels."""

    visible: Visible

    def forward(self, input: Tensor) -> Tensor:
        if self.visible.map is None:
            return super().forward(input)
        x = full(input)
        mask = self.visible.at(x)
        grouped = x.unflatten(1, (self.num_groups, -1))  # [B, G, C/G, X, Y, Z]
        inner = mask[:, None]
        dims = (2, 3, 4, 5)
        count = (inner.sum(dims, keepdim=True) * grouped.shape[2]).clamp(min=1)
        mean = (grouped * inner).sum(dims, keepdim=True) / count
        variance = ((grouped - mean).square() * inner).sum(dims, keepdim=True) / count
        flat = ((grouped - mean) * torch.rsqrt(variance + self.eps)).flatten(1, 2)
        shape = (1, -1, 1, 1, 1)
        return ((flat * self.weight.view(shape) + self.bias.view(shape)) * mask).to(input.dtype)


class SparseBatchNorm3d(BatchNorm):
    """Mean and variance of each channel over visible voxels of all samples of all ranks."""

    visible: Visible

    def forward(self, input: Tensor) -> Tensor:
        if self.visible.map is None:
            return super().forward(input)
        x, shape = full(input), (1, -1, 1, 1, 1)
        mask = self.visible.at(x)
        if not self.training and self.running_mean is not None and self.running_var is not None:
            known = self.running_mean.view(shape), self.running_var.view(shape)
            return _scaled(self, x, *known, mask).to(input.dtype)
        dims = (0, 2, 3, 4)
        count = all_reduce(mask.sum()).clamp(min=1)
        mean = all_reduce((x * mask).sum(dims)) / count
        variance = all_reduce(((x - mean.view(shape)).square() * mask).sum(dims)) / count
        if self.training and self.track_running_stats:
            self._track(mean.detach(), (variance * count / (count - 1).clamp(min=1)).detach())
        return _scaled(self, x, mean.view(shape), variance.view(shape), mask).to(input.dtype)


SPARSE = {
    nn.Conv3d: SparseConv3d,
    nn.MaxPool3d: SparseMaxPool3d,
    nn.InstanceNorm3d: SparseInstanceNorm3d,
    nn.GroupNorm: SparseGroupNorm,
    nn.BatchNorm3d: SparseBatchNorm3d,
}


def install(model: nn.Module) -> Visible:
    """Make every layer of ``model`` that mixes voxels sparse-style, in place; the switch that hides cells from it."""
    visible = Visible()
    for module in model.modules():
        if type(module) in SPARSE:
            module.__class__ = SPARSE[type(module)]
            module.visible = visible  # type: ignore[assignment]
    return visible
