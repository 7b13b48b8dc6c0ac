"""Views of volumes: batched, on the device, every parameter drawn by address.

A view's ``params`` say what was done: ``box[B, 6]`` is the cut in voxels of the source volume (start, then extent),
``flip[B, 3]`` the mirrored axes, ``turns[B, 3]`` the quarter turns about each axis, and the intensity changes of
``augment.py`` by their names. Overlaps follow from boxes (``crops.overlap``); voxels are of the spec's spacing, so they
are mm by ``spec.spacing``, and each view's ``affine`` says where its own voxels lie. Pretext views that distort or
tile are in ``pretext.py``.

Sizes in mm: ``extent`` is the side of the crop in the world, resized to the view's voxels.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import within
from unlabeled.transfer import on_host, send
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.ops.purposes import Use
from unlabeled_medical3d.views.augment import NAMES, Augment
from unlabeled_medical3d.views.crops import (
    around,
    box_affine,
    cut,
    mirror_,
    overlap,
    overlapping,
    random_boxes,
    tilt,
    turn_,
)
from unlabeled_medical3d.views.crops import volume_sizes as sizes_of

SPATIAL = ("box", "flip", "turns")


def extents(spec: VolumeSpec, extent: Sequence[float], scale: tuple[float, float], draw: Draw) -> Tensor:
    """``int64[B, 3]``: source voxels that a crop takes: ``extent`` mm, or the view's own, times a random scale."""
    base = torch.tensor(spec.voxels(extent) if extent else spec.size, dtype=torch.float64)
    if scale == (1.0, 1.0):
        return base.long().repeat(len(draw), 1)
    factor = draw.uniform(1, Use.SHIFT).double() * (scale[1] - scale[0]) + scale[0]
    return (base * factor).round().clamp(min=1).long()


def turnable(size: Sequence[int]) -> tuple[int, ...]:
    """Axes about which a view of ``size`` can be turned by 90 degrees."""
    return tuple(n for n in range(3) if len({size[m] for m in range(3) if m != n}) == 1)


def place(
    batch: VolumeBatch, boxes: Tensor, size: Sequence[int], draw: Draw, flip: float, turn: float
) -> tuple[VolumeBatch, dict[str, Tensor]]:
    """Boxes cut out, mirrored along each axis and turned about each with these probabilities."""
    images = cut(batch.images, boxes, size)
    affine = box_affine(on_host(batch.affine), boxes, size)
    flips = draw.bernoulli(3, Purpose.FLIP, flip)
    affine = mirror_(images, affine, flips)
    turns = draw.integers(3, Purpose.ROTATE, 4) * draw.bernoulli(3, Use.TURN, turn)
    axes = turnable(size)
    turns = turns * torch.tensor([axis in axes for axis in range(3)])
    for axis in axes if turn else ():
        affine = turn_(images, affine, turns[:, axis], axis)
    return VolumeBatch(batch.ids, images, affine), {"box": boxes, "flip": flips, "turns": turns}


def view_of(batch: VolumeBatch, role: str, params: dict[str, Tensor]) -> View:
    """A view with its affine and parameters on the device of its images, by one transfer."""
    assert isinstance(batch.images, Tensor)
    affine, *there = send([batch.affine, *params.values()], batch.images.device)
    return View(replace(batch, affine=affine), role, params=dict(zip(params, there, strict=True)))


def check_crop(extent: Sequence[float], scale: tuple[float, float]) -> None:
    """``ValueError`` for a crop of no size."""
    if len(extent) not in (0, 1, 3) or any(mm <= 0 for mm in extent):
        raise ValueError(f"extent is {extent}; it must be one or three numbers of mm above 0")
    if not 0.1 <= scale[0] <= scale[1] <= 4:
        raise ValueError(f"scale is {scale}; it must be two rising factors in [0.1, 4]")


def mirrored(flip: float | None, spec: VolumeSpec) -> float:
    """``flip``, or where it is None a half if a mirror image of the data is still such data."""
    return flip if flip is not None else 0.5 if spec.mirror else 0.0


class SimCLR:
    """Two crops that overlap, mirrored, turned and changed in intensity: nnssl's SimCLR, https://arxiv.org/abs/2002.05709.

    Views carry ``overlap[B]``, the share of the crop that both have in common, and ``overlap_mm3[B]``, its volume.

    Args:
        extent: side of a crop in mm, one number or three, resized to the view; empty = the view at the data's spacing.
        scale: least and most by which the extent is multiplied, the same for both crops of a sample.
        overlap: least share of the first crop that the second has too, in [0, 1].
        foreground: probability that a crop is around a foreground voxel.
        flip: probability of a mirror along each axis; None = 0.5, or 0 where the data has sides.
        turn: probability of a random quarter turn about each axis whose plane is square.
        tilt: greatest angle in degrees of a small turn about each axis; 0 = none.
        noise: probability of noise.
        blur: probability of blur.
        brightness: probability of another brightness.
        contrast: probability of another contrast.
        lowres: probability of a lower resolution.
        gamma: probability of a gamma curve.
        bias: probability of a smooth bias field.
        strength: of all intensity changes, in [0, 2]; 1 = nnU-Net's ranges.
        aligned: both views show the same crop, mirrored and turned alike, so that their rows match one by one.
        whole: both views show the whole volume, resized: the same place of every body. Needs aligned.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        extent: tuple[float, ...] = (),
        scale: tuple[float, float] = (1.0, 1.0),
        overlap: float = 0.5,
        foreground: float = 0.33,
        flip: float | None = None,
        turn: float = 0.0,
        tilt: float = 0.0,
        noise: float = 0.1,
        blur: float = 0.2,
        brightness: float = 0.15,
        contrast: float = 0.15,
        lowres: float = 0.1,
        gamma: float = 0.3,
        bias: float = 0.1,
        strength: float = 1.0,
        aligned: bool = False,
        whole: bool = False,
    ) -> None:
        check_crop(extent, scale)
        if whole and (not aligned or extent or scale != (1.0, 1.0)):
            raise ValueError("whole volumes have no extent and no scale, and are shown by both views: set aligned")
        within(0, 45, tilt=tilt)
        self.flip, self.turn, self.tilt = mirrored(flip, spec), turn, tilt
        within(0, 1, overlap=overlap, foreground=foreground, flip=self.flip, turn=turn)
        self.spec, self.extent, self.scale = spec, extent, scale
        self.share, self.foreground, self.aligned, self.whole = overlap, foreground, aligned, whole
        self.augment = Augment(
            noise=noise,
            blur=blur,
            brightness=brightness,
            contrast=contrast,
            lowres=lowres,
            gamma=gamma,
            bias=bias,
            strength=strength,
        )
        self.roles = ("global", "global")
        self.params = (*SPATIAL, *(("tilt",) if tilt else ()), "overlap", "overlap_mm3", *NAMES)

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        draw = draw.to("cpu")
        boxes = self.boxes(batch, draw)
        shared = overlap(*boxes)
        mm3 = shared * math.prod(self.spec.spacing)
        views = []
        for number, box in enumerate(boxes):
            spatial = draw.at(0 if self.aligned else number)
            made, params = place(batch, box, self.spec.size, spatial, self.flip, self.turn)
            assert isinstance(made.images, Tensor)
            if self.tilt:
                degrees = spatial.uniform(3, Use.TILT, -self.tilt, self.tilt)
                images, affine = tilt(made.images, made.affine, degrees)
                made, params = VolumeBatch(made.ids, images, affine), {**params, "tilt": degrees}
            assert isinstance(made.images, Tensor)
            changes = self.augment(made.images, draw.at(number))[1]
            shares = {"overlap": shared / box[:, 3:].prod(1), "overlap_mm3": mm3}
            views.append(view_of(made, "global", {**params, **shares, **changes}))
        return views

    def boxes(self, batch: VolumeBatch, draw: Draw) -> tuple[Tensor, Tensor]:
        """The two boxes of each sample."""
        sizes = sizes_of(batch.images)
        if self.whole:
            boxes = torch.cat((torch.zeros_like(sizes), sizes), 1)
            return boxes, boxes
        points = None if batch.foreground is None else on_host(batch.foreground)
        first = random_boxes(draw, sizes, extents(self.spec, self.extent, self.scale, draw), points, self.foreground)
        return first, first if self.aligned else overlapping(draw.at(1), first, sizes, self.share)


class MultiCrop:
    """Two overlapping global crops and several smaller local ones, for DINO and SwAV, https://arxiv.org/abs/2006.09882.

    Args:
        locals: number of local crops.
        share: side of a local crop as a share of the global one's.
        scale: least and most by which a global crop's extent is multiplied.
        overlap: least share of the first crop that the second has too, in [0, 1].
        foreground: probability that a crop is around a foreground voxel.
        flip: probability of a mirror along each axis; None = 0.5, or 0 where the data has sides.
        strength: of all intensity changes, in [0, 2]; 1 = nnU-Net's ranges.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        locals: int = 4,
        share: float = 0.5,
        scale: tuple[float, float] = (1.0, 1.0),
        overlap: float = 0.3,
        foreground: float = 0.5,
        flip: float | None = None,
        strength: float = 1.0,
    ) -> None:
        if locals < 1 or not 0 < share < 1:
            raise ValueError(f"locals is {locals} and share {share}; at least 1, and between 0 and 1")
        check_crop((), scale)
        self.whole = SimCLR(spec, scale=scale, overlap=overlap, foreground=foreground, flip=flip, strength=strength)
        self.spec, self.locals = spec, locals
        self.small = tuple(max(1, round(share * n)) for n in spec.size)
        self.roles = ("global", "global", *("local",) * locals)
        self.params = (*SPATIAL, *NAMES)

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        draw = draw.to("cpu")
        views = self.whole(batch, draw)
        sizes = sizes_of(batch.images)
        points = None if batch.foreground is None else on_host(batch.foreground)
        for number in range(2, 2 + self.locals):
            mine = draw.at(number)
            boxes = random_boxes(mine, sizes, sizes.new_tensor(self.small).expand_as(sizes), points, 0.5)
            made, params = place(batch, boxes, self.small, mine, self.whole.flip, 0.0)
            assert isinstance(made.images, Tensor)
            changes = self.whole.augment(made.images, mine)[1]
            views.append(view_of(made, "local", {**params, **changes}))
        return views


class Plain:
    """One crop, mirrored, and slices of it: for masked objectives, https://arxiv.org/abs/2111.06377.

    Args:
        extent: side of a crop in mm, one number or three, resized to the view; empty = the view at the data's spacing.
        scale: least and most by which the extent is multiplied.
        foreground: probability that a crop is around a foreground voxel.
        flip: probability of a mirror along each axis; None = 0.5, or 0 where the data has sides.
        slices: share of the crop's slices across z that are each a further view, of one slice: 2D data (Uni4Eye).
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        extent: tuple[float, ...] = (),
        scale: tuple[float, float] = (1.0, 1.0),
        foreground: float = 0.33,
        flip: float | None = None,
        slices: float = 0.0,
    ) -> None:
        check_crop(extent, scale)
        self.flip = mirrored(flip, spec)
        within(0, 1, foreground=foreground, flip=self.flip, slices=slices)
        self.spec, self.extent, self.scale = spec, extent, scale
        self.foreground, self.slices = foreground, math.ceil(slices * spec.size[2])
        self.roles = ("global",) * (1 + self.slices)
        self.params = (*SPATIAL, "slice")

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        draw, sizes = draw.to("cpu"), sizes_of(batch.images)
        points = None if batch.foreground is None else on_host(batch.foreground)
        boxes = random_boxes(draw, sizes, extents(self.spec, self.extent, self.scale, draw), points, self.foreground)
        made, params = place(batch, boxes, self.spec.size, draw, self.flip, 0.0)
        assert isinstance(made.images, Tensor)
        numbers = draw.permutation(self.spec.size[2], Use.SLICE)[:, : self.slices]
        whole = view_of(made, "global", {**params, "slice": torch.full((len(sizes),), -1)})
        return [whole, *(view_of(one_slice(made, n), "global", {**params, "slice": n}) for n in numbers.unbind(1))]


def one_slice(batch: VolumeBatch, numbers_B: Tensor) -> VolumeBatch:
    """Of each volume one slice across z, ``[B, C, X, Y, 1]``, and where it lies."""
    assert isinstance(batch.images, Tensor)
    images = torch.stack([x[..., n : n + 1] for x, n in zip(batch.images, numbers_B.tolist(), strict=True)])
    shift = torch.eye(4, dtype=torch.float64).repeat(len(images), 1, 1)
    shift[:, 2, 3] = numbers_B.double()
    return VolumeBatch(batch.ids, images, on_host(batch.affine) @ shift)


class Clean:
    """One crop, nothing drawn: around the middle of the foreground, or the whole volume. Features are taken from it.

    Args:
        whole: resize the whole volume to the view's size, in place of a crop at the spec's spacing.
    """

    def __init__(self, spec: VolumeSpec, *, whole: bool = False) -> None:
        self.spec = spec
        self.whole = whole
        self.roles = ("clean",)
        self.params = ("box",)

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        sizes = sizes_of(batch.images)
        extent = sizes if self.whole else sizes.new_tensor(self.spec.size).expand_as(sizes)
        points = batch.foreground
        center = sizes // 2 if points is None else on_host(points).double().mean(1).round().long()
        boxes = around(center, extent, sizes)
        images = cut(batch.images, boxes, self.spec.size)
        made = VolumeBatch(batch.ids, images, box_affine(on_host(batch.affine), boxes, self.spec.size))
        return [view_of(made, "clean", {"box": boxes})]
