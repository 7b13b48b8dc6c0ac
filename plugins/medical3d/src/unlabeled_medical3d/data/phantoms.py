"""Generated CT of labeled ellipsoid organs, which needs no download.

# N phantoms, X, Y, Z voxels
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from unlabeled_medical3d.batch import Partners, Volume, VolumeBatch, VolumeSpec, batch_of, prepare
from unlabeled_medical3d.data.cache import Memory

EXTENT = np.array((92.0, 84.0, 92.0))  # mm of the scanned box
ORGANS = {  # center in mm from the middle of the box, half axes in mm, Hounsfield units
    "liver": ((16, 4, 8), (13, 14, 12), 110),
    "left kidney": ((-18, -12, -6), (6, 6, 10), 180),
    "right kidney": ((18, -14, -12), (6, 6, 10), 180),
    "spine": ((0, -18, 0), (6, 6, 40), 300),
}
KINDS = ("plain", "large liver", "one kidney")


class Phantoms(Partners):
    """Generated CT of ellipsoid organs with voxel labels; the last quarter is the test. No download.

    Each is scanned with its own spacing, orientation and noise, and stands, leans and is built a little differently;
    classes are plain, a large liver, and only one kidney.

    Args:
        count: N, number of phantoms, at least 4.
        size: voxels of the views, one number or three (x, y, z); multiples of 16 suit every encoder.
        spacing: mm that all are resampled to, one number or three.
        noise: standard deviation of the noise, in Hounsfield units.
    """

    def __init__(
        self,
        path: str | None,
        *,
        count: int = 160,
        size: tuple[int, ...] = (32,),
        spacing: tuple[float, ...] = (2.5,),
        noise: float = 20.0,
    ) -> None:
        if path is not None:
            raise ValueError(f"phantoms are generated, and read no files; found {path}")
        if count < 4 or noise < 0 or len(size) not in (1, 3) or len(spacing) not in (1, 3):
            raise ValueError(f"count {count}, size {size}, spacing {spacing}, noise {noise}: from 4, 1 or 3, from 0")
        self.spec = VolumeSpec(1, size * (3 // len(size)), spacing * (3 // len(spacing)), mirror=False)
        self.labels: Tensor | None = torch.arange(count) % len(KINDS)
        self.classes: tuple[str, ...] = KINDS
        self.test: Tensor | None = torch.arange(count) >= count * 3 // 4
        self.patients = tuple(f"phantom {n}" for n in range(count))
        self.groups = self.patients
        self.regions: tuple[str, ...] = ("background", *ORGANS)
        self.noise = noise
        self._memory = Memory(512)

    def __len__(self) -> int:
        return len(self.patients)

    def _volume(self, number: int) -> Volume:
        found = self._memory.get(number)
        if found is None:
            image, mask, affine = phantom(number, number % len(KINDS), self.noise)
            found = prepare(image[None], affine, mask, spacing=self.spec.spacing, modality="ct")
            self._memory.put(number, found)
        return found

    def __getitems__(self, indices: Sequence[int]) -> VolumeBatch:
        found = batch_of(indices, [self._volume(int(n)) for n in indices])
        if not self._partners:
            return found
        others = self.partner_of(found.ids, getattr(indices, "epoch", 0))
        return replace(found, partners=batch_of(others, [self._volume(n) for n in others.tolist()]))

    def masks(self, indices: Sequence[int]) -> list[Tensor]:
        """Voxel labels ``int64[X, Y, Z]`` of each."""
        return [m.long() for n in indices if (m := self._volume(int(n)).mask) is not None]

    def describe(self) -> str:
        return (
            f"phantoms: {len(self)} generated CT volumes of {'x'.join(f'{mm:g}' for mm in EXTENT)} mm, "
            f"{len(self.classes)} classes, {len(ORGANS)} labeled organs, the last quarter held out"
        )


def phantom(number: int, kind: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hounsfield units ``[X, Y, Z]``, organ labels, and the affine of a scan with axes and spacing of its own."""
    random = np.random.default_rng((7, number))
    spacing = random.choice([(2.0, 2.0, 2.0), (1.8, 1.8, 4.0), (2.5, 2.0, 3.0)]) * random.uniform(0.9, 1.1)
    order, signs = random.permutation(3), random.choice((-1.0, 1.0), 3)
    # voxel axis a runs along world axis order[a]
    affine = np.eye(4)
    affine[:3, :3] = 0
    shape = np.maximum(4, np.round(EXTENT[order] / spacing[order])).astype(int)
    for axis, world in enumerate(order):
        affine[world, axis] = signs[axis] * spacing[world]
        affine[world, 3] = -signs[axis] * spacing[world] * (shape[axis] - 1) / 2
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    place = index @ affine[:3, :3].T + affine[:3, 3] - random.uniform(-3, 3, 3)
    image = np.full(shape, -1000.0)
    mask = np.zeros(shape, dtype=np.uint8)
    image[_inside(place, (0, 0, 0), np.array((34, 26, 44)) * random.uniform(0.92, 1.05, 3))] = -60 + random.normal(
        0, 10
    )
    for label, (organ, (center, axes, value)) in enumerate(ORGANS.items(), start=1):
        if organ == "left kidney" and kind == 2:
            continue
        grow = random.uniform(0.88, 1.12, 3) * (1.4 if organ == "liver" and kind == 1 else 1.0)
        inside = _inside(place, np.array(center) + random.normal(0, 1.5, 3), np.array(axes) * grow)
        image[inside], mask[inside] = value * random.uniform(0.85, 1.15), label
    return (image + random.normal(0, noise, shape)).astype(np.float32), mask, affine


def _inside(place: np.ndarray, center: object, axes: np.ndarray) -> np.ndarray:
    inside: np.ndarray = (((place - np.asarray(center)) / axes) ** 2).sum(-1) <= 1
    return inside
