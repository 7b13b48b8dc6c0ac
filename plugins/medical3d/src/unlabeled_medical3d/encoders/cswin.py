"""Cross-shaped-window UNet: its encoder, in three dimensions.

CSWin, https://arxiv.org/abs/2107.00652, and its use on volumes of the prostate, https://arxiv.org/abs/2305.00385: the
heads of a block are split over axes, and those of an axis attend within stripes that span the volume along it and are
``stripe`` cells wide across; positions enter by a depthwise convolution of the values (LePE). A convolution halves the
map between stages. Differs: three groups of heads, one an axis, where images have two; hidden rows get the mask token
in the stem's map, whose cells do not overlap, so that nothing of them is seen.

    # B samples, D features, x, y, z cells, S cells of a stripe, H heads of an axis
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Rows
from unlabeled.nn.rows import learn_mask_token
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.maps import MapEncoder, stages_that_fit
from unlabeled_medical3d.encoders.rows import voxel_flags
from unlabeled_medical3d.encoders.vit import Blueprint

AXES = 3


def stripes(x_BDxyz: Tensor, axis: int, width: int) -> tuple[Tensor, tuple[int, ...]]:
    """``[B, D, x, y, z] -> [B * count, S, D]``: stripes along ``axis``, and the grid that they were cut into.

    Across, a stripe is ``width`` cells wide, or all of a side that it does not divide.
    """
    size = x_BDxyz.shape[2:]
    sides = [n if a == axis else width if n % width == 0 else n for a, n in enumerate(size)]
    counts = [n // s for n, s in zip(size, sides)]
    cut = x_BDxyz.reshape(*x_BDxyz.shape[:2], *(v for pair in zip(counts, sides) for v in pair))
    rows = cut.permute(0, 2, 4, 6, 3, 5, 7, 1)  # B, counts, sides, D
    return rows.reshape(-1, sides[0] * sides[1] * sides[2], x_BDxyz.shape[1]), (*counts, *sides)


def unstripes(rows: Tensor, cut: tuple[int, ...]) -> Tensor:
    """The inverse: ``[B * count, S, D] -> [B, D, x, y, z]``."""
    counts, sides = cut[:3], cut[3:]
    x = rows.reshape(-1, *counts, *sides, rows.shape[-1]).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return x.reshape(*x.shape[:2], *(n * s for n, s in zip(counts, sides)))


class CrossAttention(nn.Module):
    """Attention of a third of the heads in stripes along each axis, with positions from the values (LePE)."""

    def __init__(self, dim: int, heads: int, stripe: int) -> None:
        super().__init__()
        self.heads, self.stripe = heads, stripe
        self.qkv = nn.Conv3d(dim, 3 * dim, 1)
        self.place = nn.ModuleList(
            nn.Conv3d(dim // AXES, dim // AXES, 3, padding=1, groups=dim // AXES) for _ in range(AXES)
        )
        self.mix = nn.Conv3d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [part.chunk(AXES, dim=1) for part in self.qkv(x).chunk(3, dim=1)]
        found = []
        for axis in range(AXES):
            (q, cut), (k, _), (v, _) = (stripes(part[axis], axis, self.stripe) for part in parts)
            heads = [rows.unflatten(2, (self.heads, -1)).transpose(1, 2) for rows in (q, k, v)]
            attended = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
            found.append(unstripes(attended, cut) + self.place[axis](parts[2][axis]))
        return self.mix(torch.cat(found, 1))


class _Norm(nn.LayerNorm):
    """LayerNorm over the channels of a map."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    """Cross-shaped attention, then an MLP, each with a residual."""

    def __init__(self, dim: int, heads: int, stripe: int) -> None:
        super().__init__()
        self.norm1, self.attention = _Norm(dim), CrossAttention(dim, heads, stripe)
        self.norm2 = _Norm(dim)
        self.mlp = nn.Sequential(nn.Conv3d(dim, 4 * dim, 1), nn.GELU(), nn.Conv3d(4 * dim, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Pyramid(nn.Module):
    """The stem, and stages of blocks with a halving convolution between them."""

    def __init__(self, channels: int, width: int, depths: tuple[int, ...], stripe: int, stem: int) -> None:
        super().__init__()
        self.stem = nn.Conv3d(channels, width, stem, stride=stem)
        dims = [width << n for n in range(len(depths))]
        # heads of an axis: one for each 16 features of it
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(dim, max(1, dim // AXES // 16), stripe << n) for _ in range(depth)))
            for n, (dim, depth) in enumerate(zip(dims, depths))
        )
        self.halve = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(dims))
        self.norm = _Norm(dims[-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """A map of each stage, from the stem's."""
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x if number == 0 else self.halve[number - 1](x))
            maps.append(x)
        return [*maps[:-1], self.norm(x)]


class CSwinUNet(MapEncoder):
    """Encoder of the cross-shaped-window UNet. MONAI has no such network, so it is exported to ONNX.

    Args:
        width: channels of the first stage, a multiple of 48, doubled by each next; 0 = 96 from 96 voxels on, else 48.
        depths: blocks of each stage; empty = (1, 2, 4, 2), as many as leave 3 cells a side.
        stripe: cells across a stripe in the first stage, doubled by each next.
        stem: voxels of a cell of the first stage.
    """

    def __init__(
        self, spec: VolumeSpec, *, width: int = 0, depths: tuple[int, ...] = (), stripe: int = 1, stem: int = 4
    ) -> None:
        width = width or (96 if max(spec.size) >= 96 else 48)
        if width % 48 or stripe < 1 or stem < 1 or any(n < 1 for n in depths):
            raise ValueError(
                f"width {width}, depths {depths}, stripe {stripe}, stem {stem}: width is a multiple of 48, "
                "the others from 1 on"
            )
        depths = depths or (1, 2, 4, 2)[: 1 + stages_that_fit(spec.size, 3, stride=stem)]
        strides = [(stem << n,) * 3 for n in range(len(depths))]
        model = Pyramid(spec.channels, width, depths, stripe, stem)
        super().__init__(model, spec, strides, width << (len(depths) - 1), Blueprint("", {}), sparse=False)
        self.resolved = {"width": width, "depths": depths}
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02), requires_grad=False)

    prepare = learn_mask_token

    def stages(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.model(self.model.stem(images))
        return maps

    def masked(self, images: Tensor, hidden: Rows, layout: Layout) -> list[Tensor]:
        """The maps with the mask token at ``hidden`` rows of the stem's map."""
        x = self.model.stem(images)
        token = self.mask_token.to(x.dtype).view(1, -1, 1, 1, 1)
        maps: list[Tensor] = self.model(torch.where(voxel_flags(hidden, layout, x.shape[2:]), token, x))
        return maps
