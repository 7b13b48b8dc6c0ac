"""Rows of volumes on a grid: their layout, the voxels that they stand for, and feature maps as rows.

# B samples, N = x * y * z rows of a volume, T = B * N packed rows, D features, X, Y, Z voxels
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Features, Layout, Rows

Grid = tuple[int, int, int]


@lru_cache(maxsize=64)
def grid_layout(count: int, grid: tuple[int, ...], device: torch.device) -> Layout:
    """The layout of ``count`` volumes of ``grid`` rows, z fastest; positions are (x, y, z) in rows.

    A grid of four numbers has rows for each channel, the first: then positions begin with the channel.
    """
    position_NP = torch.cartesian_prod(*(torch.arange(n, device=device) for n in grid))
    return Layout((len(position_NP),) * count, position_NP.repeat(count, 1), grid)


def triple(values: Sequence[int]) -> Grid:
    """Three of a tuple of one or three."""
    x, y, z = tuple(values) * (3 if len(values) == 1 else 1)
    return int(x), int(y), int(z)


def flags_map(rows: Rows, layout: Layout) -> Tensor:
    """``float[B, 1, x, y, z]``, 1 at ``rows`` of a whole grid."""
    assert layout.grid is not None, "rows of a map lie on a whole grid"
    return rows.flags(layout.total).reshape(len(layout.lengths), 1, *layout.grid).float()


def voxel_flags(rows: Rows, layout: Layout, size: Sequence[int]) -> Tensor:
    """``bool[B, 1, X, Y, Z]``, True at the voxels of ``rows``."""
    return F.interpolate(flags_map(rows, layout), tuple(size), mode="nearest-exact") > 0.5


def map_rows(x: Tensor) -> Tensor:
    """A feature map ``[B, D, x, y, z]`` as rows ``[T, D]``."""
    return x.flatten(2).transpose(1, 2).flatten(0, 1)


def map_features(x: Tensor) -> Features:
    """A feature map ``[B, D, x, y, z]`` with its layout, pooled by the mean."""
    grid = (x.shape[2], x.shape[3], x.shape[4])
    return Features(map_rows(x), grid_layout(len(x), grid, x.device), x.mean((2, 3, 4)))
