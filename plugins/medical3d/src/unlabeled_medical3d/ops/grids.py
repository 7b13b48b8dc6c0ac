"""Voxels and the rows of an encoder: volumes cut into cubes, cubes put together, quarter turns, gradients.

Rows of a volume are x-major (z fastest), as ``Layout.grid`` has them; the content of a row is a cube's voxels, channel
slowest, then x, y, z.

    # B volumes, C channels, X Y Z voxels, T = B * gx * gy * gz rows, W = C * px * py * pz numbers of a cube
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import View

Grid = tuple[int, ...]
PLANES = ((2, 3), (2, 4), (3, 4))  # pairs of spatial dimensions of [B, C, X, Y, Z]


def voxels_of(view: View) -> Tensor:
    """``[B, C, X, Y, Z]``."""
    batch: Any = view.batch
    images: Tensor = batch.images
    return images


def cubes(images: Tensor, grid: Grid) -> Tensor:
    """``images[B, C, X, Y, Z] -> [T, W]``: the voxels of each cell of ``grid``."""
    count, channels = images.shape[:2]
    sides = cube_sides(tuple(images.shape[2:]), grid)
    split = images.reshape(count, channels, grid[0], sides[0], grid[1], sides[1], grid[2], sides[2])
    return split.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(count * grid[0] * grid[1] * grid[2], -1)


def uncubes(content_TW: Tensor, grid: Grid, size: Grid) -> Tensor:
    """The inverse: ``[T, W] -> [B, C, X, Y, Z]`` with ``size`` = (X, Y, Z)."""
    sides = cube_sides(size, grid)
    cells, voxels = grid[0] * grid[1] * grid[2], sides[0] * sides[1] * sides[2]
    count, channels = content_TW.shape[0] // cells, content_TW.shape[1] // voxels
    split = content_TW.reshape(count, *grid, channels, *sides)
    return split.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(count, channels, *size)


def cube_sides(size: Grid, grid: Grid) -> Grid:
    """Voxels along each side of a cube; ``ValueError`` where the grid does not divide the volume."""
    if len(grid) != 3 or any(n % g for n, g in zip(size, grid, strict=True)):
        raise ValueError(f"volumes of {size} voxels cannot be cut into {grid} equal cubes")
    return tuple(n // g for n, g in zip(size, grid, strict=True))


def gradient_magnitude(images: Tensor) -> Tensor:
    """Length of the central difference at each voxel of ``[B, C, X, Y, Z]``, with edges repeated."""
    padded = F.pad(images, (1, 1, 1, 1, 1, 1), mode="replicate")
    inner = slice(1, -1)
    differences = (
        padded[..., 2:, inner, inner] - padded[..., :-2, inner, inner],
        padded[..., inner, 2:, inner] - padded[..., inner, :-2, inner],
        padded[..., inner, inner, 2:] - padded[..., inner, inner, :-2],
    )
    return torch.stack(differences).square().sum(0).div(4).add(1e-12).sqrt()


def dense_map(tokens_TD: Tensor, grid: Grid) -> Tensor:
    """Rows as a map: ``[T, D] -> [B, D, gx, gy, gz]``."""
    return tokens_TD.reshape(-1, grid[0], grid[1], grid[2], tokens_TD.shape[-1]).permute(0, 4, 1, 2, 3)
