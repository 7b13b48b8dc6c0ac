"""2D encoders of timm on the slices of a volume: ``slices/<name>``, any model of timm with feature maps.

Slices lie across z (axial). Each is encoded by itself, channels as colors; rows are the cells of all slices' last
maps, x and y by the model's stride, z a slice each; pooled is their mean. Hidden rows: their voxels are 0. Taking
every n-th slice makes volumes cheaper.

    # B samples, C channels, X, Y, Z voxels, S slices, D features, x, y cells
"""

from typing import Any

import timm
import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.errors import near
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.maps import MapEncoder
from unlabeled_medical3d.encoders.rows import map_rows
from unlabeled_medical3d.encoders.vit import Blueprint


def to_slices(x: Tensor, step: int) -> Tensor:
    """``[B, C, X, Y, Z] -> [B * S, C, X, Y]``: every ``step``-th slice, from the middle of the first step on."""
    return x[..., step // 2 :: step].movedim(-1, 1).flatten(0, 1)


def from_slices(x: Tensor, count: int) -> Tensor:
    """``[B * S, D, x, y] -> [B, D, x, y, S]``."""
    return x.unflatten(0, (count, -1)).movedim(1, -1)


class Slices(MapEncoder):
    """Any model of timm with feature maps, on the axial slices of a volume.

    Args:
        pretrained: start from timm's weights, which are downloaded, instead of random ones.
        step: every so many slices are encoded; must divide the volume's z.
        stage: feature map that rows are taken from, counted from the end: 1 = the last, 2 = the one before.
    """

    by_slice = True  # no row knows of another slice, or of its own slice's number

    def __init__(
        self, model: str, spec: VolumeSpec, *, pretrained: bool = False, step: int = 1, stage: int = 1
    ) -> None:
        if not timm.is_model(model):
            raise ValueError(f"timm has no model {model!r}.{near(model, timm.list_models())}")
        if step < 1 or spec.size[2] % step:
            raise ValueError(f"step is {step}; it must divide the {spec.size[2]} slices of a volume")
        made, reductions, widths = _features(model, spec, pretrained)
        if not 1 <= stage <= len(reductions):
            raise ValueError(f"stage is {stage}; {model} has {len(reductions)} feature maps")
        last = len(reductions) - stage + 1
        strides = [(r, r, step) for r in reductions[:last]]
        super().__init__(made, spec, strides, widths[last - 1], Blueprint("", {}), sparse=False)
        self.name, self.step = model, step

    def bare(self, view: View) -> tuple[Tensor, Tensor]:
        """Rows and their mean, of timm's model called slice by slice."""
        batch: Any = view.batch
        maps = [
            self.model(batch.images[..., n])[len(self.strides) - 1]
            for n in range(self.step // 2, batch.images.shape[-1], self.step)
        ]
        x = torch.stack(maps, -1)
        return map_rows(x), x.mean((2, 3, 4))

    def stages(self, images: Tensor) -> list[Tensor]:
        maps = self.model(to_slices(images, self.step))[: len(self.strides)]
        return [from_slices(x, images.shape[0]) for x in maps]


def _features(name: str, spec: VolumeSpec, pretrained: bool) -> tuple[Any, list[int], list[int]]:
    """The model with its feature maps as output, their strides and widths."""
    wanted: dict[str, Any] = {"in_chans": spec.channels, "features_only": True, "pretrained": pretrained}
    try:
        try:
            made: Any = timm.create_model(name, img_size=spec.size[:2], **wanted)
        except TypeError:  # a CNN takes any size, and no img_size
            made = timm.create_model(name, **wanted)
        return made, list(made.feature_info.reduction()), list(made.feature_info.channels())
    except (RuntimeError, AttributeError, AssertionError, ValueError) as error:
        raise ValueError(f"{name} gives no feature maps of {spec.size[:2]} slices: {error}") from error
