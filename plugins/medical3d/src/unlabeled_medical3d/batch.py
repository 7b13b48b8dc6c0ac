"""The spec that parts for volumes are wired with, prepared volumes, batches of them, and partners.

Every volume that leaves a data set has RAS axes, the spec's spacing and the scale of its modality
(``ops/intensity.py``); views cut it to the spec's size.

Beside what the contract asks for, data sets here have ``patients`` (the patient of each sample: splits never take one
to both sides), ``regions`` (names of voxel labels, background first; empty without any) and ``masks(indices)``
(``int64[X, Y, Z]`` voxel labels, on the very grid of the images that ``__getitems__`` gives).

    # N samples of the data set, B of a batch, C channels, X, Y, Z voxels, K foreground points of a volume
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from unlabeled.build import trainable
from unlabeled.data.batch import MovableBatch
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled_medical3d.ops.intensity import Modality, foreground_points, scale
from unlabeled_medical3d.ops.purposes import Use
from unlabeled_medical3d.ops.spatial import resample, resampled_affine, to_ras

CT_WINDOW = (-160.0, 240.0)  # Hounsfield units: soft tissue
PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class VolumeSpec:
    """What the encoder gets: ``channels``, ``size`` in voxels (x, y, z) and ``spacing`` in mm of the views.

    ``mirror``: whether a mirror image is still such data; hearts and livers have a side.
    """

    channels: int = 1
    size: tuple[int, ...] = (32, 32, 32)
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    mirror: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        if len(self.size) != 3 or min(self.size) < 1 or self.channels < 1:
            raise ValueError(f"channels {self.channels} and size {self.size}: a size is 3 numbers, all from 1 on")
        if len(self.spacing) != 3 or min(self.spacing) <= 0:
            raise ValueError(f"spacing is {self.spacing}; it must be 3 numbers of mm above 0")

    def voxels(self, millimeters: Sequence[float]) -> tuple[int, ...]:
        """Whole voxels, at least 1, of lengths along x, y and z in mm; one number serves all axes."""
        sides = tuple(millimeters) * (3 if len(millimeters) == 1 else 1)
        return tuple(max(1, round(mm / s)) for mm, s in zip(sides, self.spacing, strict=True))


@dataclass(frozen=True)
class VolumeBatch(MovableBatch):
    """``ids[B]``; ``images`` float32 ``[B, C, X, Y, Z]`` where all are of one size, else a list of ``[C, X, Y, Z]``.

    ``affine[B, 4, 4]`` float64 maps voxels to mm, RAS. ``foreground[B, K, 3]`` are voxels inside what is not air, for
    crops; None in views. ``partners``: another volume for each, where views ask for one. ``bad`` names samples that
    could not be read, with the reason; they are left out, and in training others stand in under their own ids.
    """

    ids: Tensor
    images: Tensor | list[Tensor]
    affine: Tensor
    foreground: Tensor | None = None
    bad: tuple[tuple[str, str], ...] = ()
    partners: VolumeBatch | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, samples: slice) -> Self:
        return replace(
            self,
            ids=self.ids[samples],
            images=collate(self.images[samples]),
            affine=self.affine[samples],
            foreground=None if self.foreground is None else self.foreground[samples],
            bad=(),
            partners=None if self.partners is None else self.partners[samples],
        )


def collate(images: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """One ``[B, C, X, Y, Z]`` where all are of one size."""
    if isinstance(images, Tensor):
        return images
    return torch.stack(list(images)) if len({x.shape for x in images}) == 1 else list(images)


@dataclass(frozen=True)
class Volume:
    """One prepared volume: ``image`` float32 [C, X, Y, Z], ``affine`` [4, 4], ``points`` [K, 3], ``mask`` or None."""

    image: Tensor
    affine: Tensor
    points: Tensor
    mask: Tensor | None = None

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        found = (self.image, self.affine, self.points, self.mask)
        return sum(x.numel() * x.element_size() for x in found if x is not None)


def prepare(
    image: np.ndarray,
    affine: np.ndarray,
    mask: np.ndarray | None,
    *,
    spacing: Sequence[float],
    modality: Modality,
    window: tuple[float, float] = CT_WINDOW,
    percentiles: tuple[float, float] = PERCENTILES,
) -> Volume:
    """``image[C, X, Y, Z]`` and its labels ``mask[X, Y, Z]``, as read, in RAS, at ``spacing`` mm and on its scale."""
    turned, ras = to_ras(image, affine)
    voxels = torch.from_numpy(np.ascontiguousarray(turned, dtype=np.float32))  # files may be of either byte order
    x = scale(resample(voxels, ras, spacing), modality, window, percentiles)
    labels = None
    if mask is not None:
        flat, _ = to_ras(mask[None], affine)
        labels = resample(torch.from_numpy(flat), ras, spacing, nearest=True)[0].to(torch.uint8)
    return Volume(x, torch.from_numpy(resampled_affine(ras, spacing)), foreground_points(x), labels)


def batch_of(ids: Sequence[int] | Tensor, volumes: Sequence[Volume], bad: Any = ()) -> VolumeBatch:
    """Volumes as a batch."""
    return VolumeBatch(
        torch.as_tensor(ids, dtype=torch.int64),
        collate([v.image for v in volumes]),
        _stacked([v.affine for v in volumes]),
        _stacked([v.points for v in volumes]),
        tuple(bad),
    )


def _stacked(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors) if tensors else torch.zeros(0)


class Partners:
    """What views ask for beside each sample: ``partner``, another volume of the data set."""

    test: Tensor | None
    _partners = False

    def bring(self, asks: Sequence[str]) -> None:
        """Called by core with what views ask for; batches then carry it."""
        unknown = set(asks) - {"partner"}
        if unknown:
            raise UsageError(f"the views ask for {', '.join(sorted(unknown))}; volumes bring a partner alone")
        self._partners = True

    def partner_of(self, ids: Tensor, epoch: int) -> Tensor:
        """The sample that accompanies each in this epoch: never itself, and never one held out."""
        pool = trainable(self)  # type: ignore[arg-type]
        if len(pool) < 2:
            return ids
        chosen = pool[Draw(0, epoch, ids).integers(1, Use.PARTNER, len(pool) - 1)[:, 0]]
        return torch.where(chosen == ids, pool[-1], chosen)
