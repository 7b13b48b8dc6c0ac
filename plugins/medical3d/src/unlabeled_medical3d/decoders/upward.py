"""The upward half of a U-Net, for any encoder that gives a map a stage: transposed convolutions, skips, MONAI's blocks.

https://arxiv.org/abs/1505.04597; nnU-Net, https://arxiv.org/abs/1904.08128. Names and blocks are those of MONAI's
``DynUNet``, so over a ``unet`` or ``res_unet`` the two halves are a whole DynUNet, under its own state keys. Where the
finest map is coarser than the voxels, one more step leads up to them, its skip a convolution of the image.

Models Genesis and Volume Fusion pre-train such a whole network, and fine-tune both halves.

    # B volumes, K numbers of a voxel, X Y Z voxels
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetOutBlock, UnetUpBlock
from torch import Tensor, nn

from unlabeled.contract import View
from unlabeled.probes.embedding import evaluating
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.rows import Grid, triple
from unlabeled_medical3d.ops.grids import dense_map

NORM = ("INSTANCE", {"affine": True})  # DynUNet's
LEAST = 8  # channels of the step up to the voxels


def climbs(encoder: Any) -> bool:
    """Whether ``encoder`` gives a map a stage, each coarser than the one before: what a U-Net climbs up on."""
    return hasattr(encoder, "strides") and len(encoder.strides) > 1


def maps_of(encoder: Any, view: View) -> list[Tensor]:
    """A map ``[B, D_s, x, y, z]`` of each stage, the finest first."""
    found = encoder(view, layers=tuple(range(len(encoder.strides)))).layers
    maps = []
    for each in found:
        assert each.layout.grid is not None
        maps.append(dense_map(each.tokens, each.layout.grid))
    return maps


def widths_of(encoder: Any) -> list[int]:
    """Channels of each stage's map, from a pass of one empty volume."""
    spec: VolumeSpec = encoder.spec
    empty = torch.zeros(1, spec.channels, *spec.size)
    with evaluating(encoder), torch.no_grad():
        view = View(VolumeBatch(torch.zeros(1, dtype=torch.int64), empty, torch.eye(4)[None]), "clean")
        return [each.shape[1] for each in maps_of(encoder, view)]


class Upward(nn.Module):
    """From the maps of ``encoder`` to ``channels`` numbers of each voxel, ``[B, K, X, Y, Z]``."""

    def __init__(self, encoder: Any, channels: int) -> None:
        super().__init__()
        if not climbs(encoder):
            raise ValueError(f"{type(encoder).__name__} gives no maps of falling resolution for a U-Net to climb up on")
        strides: list[Grid] = [(1, 1, 1), *encoder.strides]
        steps = [triple([b // a for a, b in zip(fine, coarse)]) for fine, coarse in pairwise(strides)]
        widths = widths_of(encoder)
        kernels = dict(encoder.blueprint.whole_kwargs or {}).get("kernel_size") or [(3, 3, 3)] * len(widths)
        self.stem: nn.Module | None = None
        if steps[0] == (1, 1, 1):  # the finest map is of voxels, and is what the last step ends on
            steps = steps[1:]
        else:
            widths = [max(LEAST, widths[0] // 2), *widths]
            kernels = [(3, 3, 3), *kernels]
            self.stem = UnetBasicBlock(3, encoder.spec.channels, widths[0], 3, 1, NORM)
        upsamples = [
            UnetUpBlock(3, widths[n + 1], widths[n], kernels[n + 1], step, step, NORM) for n, step in enumerate(steps)
        ]
        self.upsamples = nn.ModuleList(reversed(upsamples))
        self.output_block = UnetOutBlock(3, widths[0], channels)
        self.apply(_start)

    def forward(self, maps: Sequence[Tensor], images: Tensor) -> Tensor:
        """``maps``: the finest first; ``images[B, C, X, Y, Z]``, what the encoder saw."""
        return self.output_block(self.climb(maps, images))

    def climb(self, maps: Sequence[Tensor], images: Tensor) -> Tensor:
        """What the last layer reads: ``[B, D, X, Y, Z]``."""
        skips = [*maps] if self.stem is None else [self.stem(images), *maps]
        x = skips.pop()
        for up, skip in zip(self.upsamples, reversed(skips), strict=True):
            x = up(x, skip)
        return x


def _start(module: nn.Module) -> None:
    # DynUNet's own start
    if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
