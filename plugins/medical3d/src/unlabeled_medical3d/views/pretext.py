"""Views that carry a task of their own: VoCo's base crops, and volumes fused block by block.

VoCo, https://arxiv.org/abs/2402.17300; Volume Fusion, https://arxiv.org/abs/2306.16925. Every draw is a sample's own:
nothing depends on which volumes share a batch.

    # B samples, N base crops, C channels, X Y Z voxels of the spec's size
"""

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.transfer import on_host, send
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.ops.purposes import Use
from unlabeled_medical3d.views.augment import NAMES, Augment
from unlabeled_medical3d.views.crops import box_affine, cut, mirror_, overlap, random_boxes, volume_sizes
from unlabeled_medical3d.views.standard import view_of


def base_boxes(sizes_B3: Tensor, grid: tuple[int, int]) -> Tensor:
    """``int64[B, N, 6]``: equal boxes side by side over x and y, whole along z."""
    cells = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1]))
    extent_B3 = base_extent(sizes_B3, grid)
    start = cells * extent_B3[:, None, :2]
    still = torch.zeros_like(start[..., :1])
    return torch.cat((start, still, extent_B3[:, None].expand(-1, len(cells), 3)), 2)


def base_extent(sizes_B3: Tensor, grid: tuple[int, int]) -> Tensor:
    """``int64[B, 3]``: voxels of a base crop."""
    share = torch.tensor((*grid, 1))
    if bool((sizes_B3 < share).any()):
        raise ValueError(f"volumes of {tuple(sizes_B3.amin(0).tolist())} voxels cannot be cut into {grid} base crops")
    return sizes_B3 // share


class VoCoViews:
    """Base crops side by side over a volume, and random crops with their overlap with each base crop.

    ``overlap[B, N]`` are shares of a random crop that sum to 1. Crops are resized to the spec's size, as the authors
    resize volumes to a fixed size first. Every crop's intensities are changed by themselves.

    Args:
        grid: base crops along x and y; 4 x 4 in the paper.
        crops: random crops of a volume.
        strength: of all intensity changes, in [0, 2]; 1 = nnU-Net's ranges. The authors shift intensities alone.
    """

    def __init__(
        self, spec: VolumeSpec, *, grid: tuple[int, int] = (4, 4), crops: int = 2, strength: float = 1.0
    ) -> None:
        if min(grid) < 1 or grid[0] * grid[1] < 2 or crops < 1:
            raise ValueError(f"grid {grid} and crops {crops}: at least two base crops and one random crop")
        self.spec, self.grid, self.crops = spec, grid, crops
        self.roles = ("base",) * (grid[0] * grid[1]) + ("global",) * crops
        self.params = ("box", "overlap", *NAMES)
        self.augment = Augment(strength=strength)

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        sizes = volume_sizes(batch.images)
        bases, extent = base_boxes(sizes, self.grid), base_extent(sizes, self.grid)
        draw = draw.to("cpu")
        count = bases.shape[1]
        views = [self._view(batch, bases[:, n], bases, "base", draw.at(n)) for n in range(count)]
        room = extent * (torch.tensor((*self.grid, 1)) - 1)  # within what the base crops cover
        for number in range(self.crops):
            start = draw.at(number).integers(3, Use.PLACE, room + 1)
            boxes = torch.cat((start, extent), 1)
            views.append(self._view(batch, boxes, bases, "global", draw.at(count + number)))
        return views

    def _view(self, batch: VolumeBatch, boxes: Tensor, bases: Tensor, role: str, draw: Draw) -> View:
        images, changes = self.augment(cut(batch.images, boxes, self.spec.size), draw)
        made = VolumeBatch(batch.ids, images, box_affine(on_host(batch.affine), boxes, self.spec.size))
        shares = overlap(boxes[:, None], bases) / boxes[:, 3:].prod(1, keepdim=True)
        return view_of(made, role, {"box": boxes, "overlap": shares, **changes})


class FusionViews:
    """A crop fused into a crop of another volume, block by block, and the coefficients.

    The source view is coefficient * foreground + (1 - coefficient) * background, the target view the coefficients, in
    every channel. The other volume is drawn by sample and epoch, whatever the batch; both are mirrored at random.

    Args:
        levels: K in the paper: coefficients are 0, 1/K, ..., 1.
        blocks: fewest and most blocks; 10 to 40 in the paper.
        least: shortest side of a block in voxels; 8 in the paper.
        most: longest side of a block as a share of the view's.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        levels: int = 4,
        blocks: tuple[int, int] = (10, 40),
        least: int = 4,
        most: float = 0.625,
    ) -> None:
        if levels < 1 or not 1 <= blocks[0] <= blocks[1]:
            raise ValueError(f"levels {levels} and blocks {blocks}: at least 1, the fewest first")
        if least < 1 or not 0 < most <= 1 or least > most * min(spec.size):
            raise ValueError(f"blocks of {least} voxels to {most:g} of {spec.size}: give a least below the most")
        self.spec, self.levels, self.blocks, self.least, self.most = spec, levels, blocks, least, most
        self.roles = ("source", "target")
        self.params = ("box",)
        self.asks = ("partner",)

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        if batch.partners is None:
            raise ValueError("volumes are fused with others: call the data's bring(('partner',)) first")
        draw = draw.to("cpu")
        foreground, affine, front = self._crop(batch, draw.at(0))
        background = self._crop(batch.partners, draw.at(1))[0]
        share, affine, box = send([self.coefficients(draw), affine, front], background.device)
        fused = share * foreground + (1 - share) * background
        target = share.expand_as(fused).contiguous()
        made = (("source", fused), ("target", target))
        return [View(VolumeBatch(batch.ids, x, affine), role, params={"box": box}) for role, x in made]

    def _crop(self, batch: VolumeBatch, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """A random crop of each volume, mirrored where the data has no sides, its affine and its box."""
        sizes = volume_sizes(batch.images)
        points = None if batch.foreground is None else on_host(batch.foreground)
        boxes = random_boxes(draw, sizes, sizes.new_tensor(self.spec.size).expand_as(sizes), points, 0.5)
        images = cut(batch.images, boxes, self.spec.size)
        affine = box_affine(on_host(batch.affine), boxes, self.spec.size)
        return images, mirror_(images, affine, draw.bernoulli(3, Use.FLIP, 0.5 if self.spec.mirror else 0.0)), boxes

    def coefficients(self, draw: Draw) -> Tensor:
        """``float32[B, 1, X, Y, Z]``: later blocks cover earlier ones; 0 where no block is."""
        most = self.blocks[1]
        count = draw.integers(1, Use.COUNT, most + 1, self.blocks[0])[:, 0].tolist()
        size = torch.tensor(self.spec.size)
        longest = (size * self.most).long().clamp(min=self.least)
        sides = draw.integers(3 * most, Use.SIDE, longest.repeat(most) + 1, self.least).unflatten(1, (most, 3))
        start = (draw.uniform(3 * most, Use.PLACE).unflatten(1, (most, 3)) * (size - sides + 1)).long()
        level = draw.integers(most, Use.LEVEL, self.levels + 1, 1)
        out = torch.zeros(len(count), 1, *self.spec.size)
        for n, blocks in enumerate(count):
            stop = (start[n] + sides[n]).tolist()
            for (x, y, z), (i, j, k), value in zip(start[n, :blocks].tolist(), stop, level[n].tolist()):
                out[n, 0, x:i, y:j, z:k] = value / self.levels
        return out
