"""Swin UNETR's encoder, of MONAI: windows of attention over a pyramid of maps.

https://arxiv.org/abs/2201.01266. Rows are the cells of one stage's map, by default the deepest that has 3 cells a side;
stages below it do not run and are not trained, and keep their first weights in the exported network. Hidden rows get
the mask token in the stem's map, before anything mixes cells (SimMIM).

    # B samples, D features, x, y, z cells
"""

from typing import Any

import torch
from monai.networks import nets
from torch import Tensor, nn

from unlabeled.contract import Layout, Rows, View
from unlabeled.nn.rows import learn_mask_token
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.maps import MapEncoder, stages_that_fit
from unlabeled_medical3d.encoders.rows import map_rows, voxel_flags
from unlabeled_medical3d.encoders.vit import Blueprint

STAGES = 5  # the stem's map, and one after each of four layers


class SwinUNETR(MapEncoder):
    """The ``swinViT`` of MONAI's Swin UNETR; sides of the volume must be multiples of 32 to export the whole of it.

    Args:
        width: channels of the stem, a multiple of 12, doubled by each stage; 0 = 48 from 96 voxels on, 24 from 40 on,
            else 12.
        window: side of an attention window in cells; 0 = 7 from 96 voxels on, else 4.
        level: stage whose cells are the rows, 1 to 4: 1/4, 1/8, 1/16, 1/32 of the volume; 0 = the deepest with 3
            cells a side.
        drop_path: greatest share of samples that skip a block in training, in [0, 1).
    """

    def __init__(
        self, spec: VolumeSpec, *, width: int = 0, window: int = 0, level: int = 0, drop_path: float = 0.0
    ) -> None:
        longest = max(spec.size)
        width = width or (48 if longest >= 96 else 24 if longest >= 40 else 12)
        window = window or (7 if longest >= 96 else 4)
        if width % 12 or window < 1 or not 0 <= level < STAGES or not 0 <= drop_path < 1:
            raise ValueError(
                f"width {width}, window {window}, level {level}, drop_path {drop_path}: width is a multiple of 12, "
                "window from 1 on, level 0 to 4, drop_path in [0, 1)"
            )
        level = level or stages_that_fit(spec.size, STAGES - 1, stride=2)
        kwargs: dict[str, Any] = {
            "in_channels": spec.channels,
            "out_channels": 2,
            "feature_size": width,
            "window_size": window,
            "dropout_path_rate": drop_path,
        }
        model = nets.SwinUNETR(**kwargs).swinViT
        strides = [(2 << n,) * 3 for n in range(level + 1)]
        made = Blueprint("", {}, "SwinUNETR", kwargs, prefix="swinViT.", features=f"cells = model.swinViT(x)[{level}]")
        super().__init__(model, spec, strides, width << level, made, sparse=False)
        self.resolved = {"width": width, "window": window, "level": level}
        for layer in self._layers()[level:]:
            layer.requires_grad_(False)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02), requires_grad=False)

    prepare = learn_mask_token

    def _layers(self) -> list[nn.Module]:
        return [getattr(self.model, f"layers{n}")[0] for n in range(1, STAGES)]

    def bare(self, view: View) -> tuple[Tensor, Tensor]:
        """Rows and their mean, of MONAI's model alone."""
        batch: Any = view.batch
        x = self.model(batch.images)[len(self.strides) - 1]
        return map_rows(x), x.mean((2, 3, 4))

    def stages(self, images: Tensor) -> list[Tensor]:
        return self._pyramid(self.model.pos_drop(self.model.patch_embed(images)))

    def masked(self, images: Tensor, hidden: Rows, layout: Layout) -> list[Tensor]:
        """The maps with the mask token at ``hidden`` rows of the stem's map."""
        x = self.model.patch_embed(images)
        token = self.mask_token.to(x.dtype).view(1, -1, 1, 1, 1)
        return self._pyramid(self.model.pos_drop(torch.where(voxel_flags(hidden, layout, x.shape[2:]), token, x)))

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        maps = [self.model.proj_out(x, True)]
        for layer in self._layers()[: len(self.strides) - 1]:
            x = layer(x.contiguous())
            maps.append(self.model.proj_out(x, True))
        return maps
