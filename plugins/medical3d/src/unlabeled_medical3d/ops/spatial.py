"""Orientation and resampling of volumes in world space: RAS axes, a stated spacing, affines that stay true.

An affine maps voxel indices (x, y, z, 1) to millimeters, right, anterior and superior positive, as NIfTI has it.
The resampled grid is MONAI's ``Spacing`` and torchio's: the first voxel's center stays, linear in between, and the last
voxel is the one nearest to the old last. Differs: three passes of a lerp along one axis each, in place of a dense
trilinear sampling (equal to rounding, and several times faster).

    # C channels, X, Y, Z voxels; affine [4, 4] float64
"""

from collections.abc import Sequence

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from unlabeled.data.readable import SampleError

SQUARE = 0.02  # the largest cosine between two voxel axes, a little over 1 degree


def voxel_size(affine: np.ndarray) -> np.ndarray:
    """``[3]`` mm: the length of each voxel axis."""
    return np.sqrt((affine[:3, :3] ** 2).sum(0))


def check_affine(affine: np.ndarray) -> None:
    """:class:`SampleError` for an affine that maps no box: not finite, flat, sheared, or of absurd voxels."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise SampleError("its affine is not 4 x 4 finite numbers")
    size = voxel_size(affine)
    if abs(np.linalg.det(affine[:3, :3])) < 1e-6 * max(float(size.prod()), 1e-9) or size.min() <= 0:
        raise SampleError("its affine is singular: two voxel axes point the same way, or one has no length")
    if size.min() < 1e-3 or size.max() > 100:
        raise SampleError(f"its voxels are {' x '.join(f'{s:.3g}' for s in size)} mm; 0.001 to 100 mm are read")
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        raise SampleError(f"the last row of its affine is {affine[3].tolist()}; it must be 0, 0, 0, 1")
    axes = affine[:3, :3] / size
    cosine = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if cosine > SQUARE:
        raise SampleError(
            f"its voxel axes are {np.rad2deg(np.arcsin(min(1.0, cosine))):.1f} degrees off right angles, as under a "
            "tilted gantry: resample it to right angles first (dcm2niix does)"
        )


def to_ras(image: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``image[..., X, Y, Z]`` with axes permuted and flipped so that they run nearest to right, anterior, superior."""
    turn = nib.orientations.io_orientation(affine)
    if np.isnan(turn).any():
        raise SampleError("its affine names no three axes")
    lead = image.ndim - 3
    turned = nib.orientations.apply_orientation(np.moveaxis(image, range(lead), range(3, 3 + lead)), turn)
    moved = np.moveaxis(turned, range(3, 3 + lead), range(lead))
    return np.ascontiguousarray(moved), affine @ nib.orientations.inv_ornt_aff(turn, image.shape[lead:])


def resampled_shape(shape: Sequence[int], old: Sequence[float], new: Sequence[float]) -> tuple[int, ...]:
    """Voxels of a grid with spacing ``new`` between the first and last voxel centers of one with spacing ``old``."""
    return tuple(int(np.round((n - 1) * o / s)) + 1 for n, o, s in zip(shape, old, new, strict=True))


def resample(image: Tensor, affine: np.ndarray, spacing: Sequence[float], *, nearest: bool = False) -> Tensor:
    """``image[C, X, Y, Z]`` at ``spacing`` mm; ``nearest`` for labels."""
    old = voxel_size(affine)
    for axis, (before, after) in enumerate(zip(old, spacing, strict=True), start=1):
        count = image.shape[axis]
        wanted = resampled_shape((count,), (before,), (after,))[0]
        if wanted == count and abs(before - after) < 1e-6 * before:
            continue
        place = (torch.arange(wanted, dtype=torch.float64) * (after / before)).clamp(max=count - 1)
        if nearest:
            image = image.index_select(axis, place.round().long())
            continue
        low = place.floor().long()
        weight = (place - low).to(image.dtype).reshape([-1 if n == axis else 1 for n in range(4)])
        high = image.index_select(axis, (low + 1).clamp(max=count - 1))
        image = image.index_select(axis, low).lerp_(high, weight)
    return image


def resampled_affine(affine: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The affine after :func:`resample`: the first voxel stays, axes keep their directions."""
    out = affine.astype(np.float64).copy()
    out[:3, :3] = affine[:3, :3] / voxel_size(affine) * np.asarray(spacing)
    return out
