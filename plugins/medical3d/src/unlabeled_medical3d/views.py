"""Views of volumes: batched, on the device, every parameter drawn by address.

A view's ``params`` say what was done: ``box[B, 6]`` is the cut in voxels of the source volume (start, then extent),
from which overlaps follow (``crops.overlap``); in mm, by the spec's spacing or the view's own affine.
"""

from __future__ import annotations

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_medical3d.crops import around, box_affine, cut, volume_sizes
from unlabeled_medical3d.data import VolumeBatch, VolumeSpec


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
        sizes = volume_sizes(batch.images)
        extent = sizes if self.whole else sizes.new_tensor(self.spec.size).expand_as(sizes)
        points = batch.foreground
        center = sizes // 2 if points is None else points.cpu().double().mean(1).round().long()
        boxes = around(center, extent, sizes)
        images = cut(batch.images, boxes, self.spec.size)
        made = VolumeBatch(batch.ids, images, box_affine(batch.affine, boxes, self.spec.size))
        return [View(made, "clean", params={"box": boxes.to(batch.ids.device)})]
