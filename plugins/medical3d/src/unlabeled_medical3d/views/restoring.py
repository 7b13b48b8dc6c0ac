"""Views to restore from: a crop distorted and whole (Models Genesis), or turned and cut out (Swin UNETR).

A ``source`` view is what the encoder reads, the ``target`` view of the same number what it should have read.
"""

from dataclasses import replace

from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.errors import within
from unlabeled.transfer import on_host
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.ops.purposes import Use
from unlabeled_medical3d.views.crops import overlapping, random_boxes, turn_
from unlabeled_medical3d.views.crops import volume_sizes as sizes_of
from unlabeled_medical3d.views.distort import curve, cutout, paint, shuffle
from unlabeled_medical3d.views.standard import SPATIAL, extents, mirrored, place, turnable, view_of


def crop(spec: VolumeSpec, batch: VolumeBatch, draw: Draw, foreground: float) -> Tensor:
    """One random box of the view's size a sample."""
    sizes = sizes_of(batch.images)
    points = None if batch.foreground is None else on_host(batch.foreground)
    return random_boxes(draw, sizes, extents(spec, (), (1.0, 1.0), draw), points, foreground)


class Genesis:
    """One crop, distorted, and whole: Models Genesis, https://arxiv.org/abs/1908.06912.

    Views carry ``curve``, ``shuffle`` (whether it was done) and ``paint`` (0 no, 1 in-painting, 2 out-painting).

    Args:
        curve: probability of a non-linear intensity curve.
        shuffle: probability of local shuffling.
        density: windows that are shuffled, as a share of the volume, overlaps counted.
        paint: probability of in- or out-painting.
        inner: share of in-painting among these.
        flip: probability of a mirror along each axis; None = 0.4, or 0 where the data has sides.
        foreground: probability that a crop is around a foreground voxel.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        curve: float = 0.9,
        shuffle: float = 0.5,
        density: float = 1.0,
        paint: float = 0.9,
        inner: float = 0.2,
        flip: float | None = None,
        foreground: float = 0.33,
    ) -> None:
        self.flip = mirrored(flip, spec) if flip is not None or not spec.mirror else 0.4
        within(0, 1, curve=curve, shuffle=shuffle, paint=paint, inner=inner, flip=self.flip, foreground=foreground)
        if not 0 < density <= 20:
            raise ValueError(f"density is {density}; it must be in (0, 20]")
        self.spec, self.foreground = spec, foreground
        self.curve, self.shuffle, self.density, self.paint, self.inner = curve, shuffle, density, paint, inner
        self.roles = ("source", "target")
        self.params = (*SPATIAL, "curve", "shuffle", "paint")

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        draw = draw.to("cpu")
        whole, params = place(
            batch, crop(self.spec, batch, draw, self.foreground), self.spec.size, draw, self.flip, 0.0
        )
        assert isinstance(whole.images, Tensor)
        x, shuffled = shuffle(whole.images, draw, self.shuffle, self.density)
        x, curved = curve(x, draw, self.curve)
        x, painted = paint(x, draw, self.paint, self.inner)
        params = {**params, "curve": curved, "shuffle": shuffled, "paint": painted}
        return [view_of(replace(whole, images=x), "source", params), view_of(whole, "target", params)]


class SwinPretext:
    """Two overlapping crops, each turned by 90 degrees n times and cut out: Swin UNETR, https://arxiv.org/abs/2111.14791.

    Targets are the turned crops, not cut out. Views carry ``rotation[B]``, 0 to 3, and ``cut[B]``, the share replaced.

    Args:
        most: greatest share of voxels that is cut out; each sample's budget is uniform from 0.
        overlap: least share of the first crop that the second has too, in [0, 1].
        foreground: probability that a crop is around a foreground voxel.
    """

    def __init__(self, spec: VolumeSpec, *, most: float = 0.3, overlap: float = 1.0, foreground: float = 0.33) -> None:
        within(0, 1, most=most, overlap=overlap, foreground=foreground)
        axes = turnable(spec.size)
        if not axes:
            raise ValueError(f"views of {spec.size} voxels have no two equal sides, and cannot be turned")
        self.axis = axes[-1]  # about z where it can be: planes of slices
        self.spec, self.most, self.share, self.foreground = spec, most, overlap, foreground
        self.roles = ("source", "source", "target", "target")
        self.params = (*SPATIAL, "rotation", "cut")

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        draw = draw.to("cpu")
        first = crop(self.spec, batch, draw, self.foreground)
        boxes = (first, overlapping(draw.at(1), first, sizes_of(batch.images), self.share))
        sources, targets = [], []
        for number, box in enumerate(boxes):
            mine = draw.at(number)
            whole, params = place(batch, box, self.spec.size, mine, 0.0, 0.0)
            assert isinstance(whole.images, Tensor)
            rotation = mine.integers(1, Use.TURN, 4)[:, 0]
            images = whole.images
            whole = replace(whole, affine=turn_(images, whole.affine, rotation, self.axis))
            x, share = cutout(images, mine, self.most)
            params = {**params, "rotation": rotation, "cut": share}
            sources.append(view_of(replace(whole, images=x), "source", params))
            targets.append(view_of(whole, "target", params))
        return [*sources, *targets]
