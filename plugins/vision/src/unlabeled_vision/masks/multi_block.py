"""I-JEPA's mask, https://arxiv.org/abs/2301.08243: target blocks to predict from one context block.

Differs: the paper draws block sizes once a batch and trims contexts to the smallest of a batch; here sizes are drawn
once an epoch and the context has a fixed size, so that what a sample gets never depends on its batch.

    # B samples, D = 2 sides, N = h * w rows of an image, R targets
"""

import math

import torch

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import at_least
from unlabeled.masks.grid import inside, to_predict, whole_grid
from unlabeled.masks.rows import layout_of, smallest
from unlabeled_vision.masks.grid import PHANTOM, corner, sides


class MultiBlockMask:
    """I-JEPA's masks: several target blocks to predict, and one context block, less the targets, that is seen.

    All else is hidden. Sizes of blocks are drawn once an epoch, their places for each image. The context is what an
    image has left of its block, filled up or cut at random to the same number for all: the larger of a quarter of the
    grid and of the block less targets that do not meet. A target that would leave less falls together with the first.

    Args:
        blocks: number of target blocks, M in the paper.
        scale: least and greatest share of the image that a target covers, in (0, 0.5].
        aspect: least and greatest height / width of a target.
        context: least and greatest share of the image that the context block covers, in (0, 1].
    """

    sets = frozenset({"hidden", "predict"})

    def __init__(
        self,
        *,
        blocks: int = 4,
        scale: tuple[float, float] = (0.15, 0.2),
        aspect: tuple[float, float] = (0.75, 1.5),
        context: tuple[float, float] = (0.85, 1.0),
    ) -> None:
        at_least(1, blocks=blocks)
        if not 0 < scale[0] <= scale[1] <= 0.5:
            raise ValueError(f"scale is {scale}; it must be two shares in (0, 0.5], the smaller first")
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"aspect is {aspect}; it must be two ratios above 0, the smaller first")
        if not 0 < context[0] <= context[1] <= 1:
            raise ValueError(f"context is {context}; it must be two shares in (0, 1], the smaller first")
        self.targets = blocks
        self.scale, self.aspect, self.context = scale, aspect, context

    def sizes(self, draw: Draw, grid: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, int]:
        """``int64[D]`` of a target and of the context block, and how many rows are seen: the same for a whole epoch."""
        epoch, rows = Draw(draw.seed, draw.epoch, torch.zeros(1, dtype=torch.int64), draw.view), math.prod(grid)
        share, aspect, seen = epoch.uniform(3, Purpose.MASK_SIZE).double()[0]
        area = rows * (self.scale[0] + share * (self.scale[1] - self.scale[0]))
        target = sides(area, self.aspect[0] + aspect * (self.aspect[1] - self.aspect[0]), grid)
        whole = rows * (self.context[0] + seen * (self.context[1] - self.context[0]))
        block = sides(whole, torch.ones_like(whole), grid)
        if int(target.prod()) > rows // 2:
            raise ValueError(
                f"a grid of {grid[0]} x {grid[1]} rows is too small for target blocks; choose a smaller --encoder.patch"
            )
        return target, block, max(rows // 4, int(block.prod() - self.targets * target.prod()), 1)

    def __call__(self, view: View, draw: Draw) -> View:
        grid, draw = whole_grid(layout_of(view), 2), draw.to("cpu")
        target, context, seen = self.sizes(draw, grid)
        side = torch.stack((target,) * self.targets + (context,))
        place = draw.uniform(2 * len(side), Purpose.MASK_PLACE).unflatten(1, (-1, 2))
        *blocks, around = inside(corner(place, side, grid), side, grid).unbind(1)
        union = blocks[0]
        for number in range(1, self.targets):
            fits = (~(union | blocks[number])).sum(1, keepdim=True) >= seen
            blocks[number] = torch.where(fits, blocks[number], blocks[0])
            union = union | blocks[number]
        # seen first: the context block less the targets, then what lies outside it; a target never
        rank = (union.long() * 2 + (~around).long()) * PHANTOM + draw.permutation(math.prod(grid), Purpose.MASK_FILL)
        return to_predict(view, torch.stack(blocks, 1), ~smallest(rank, (seen,) * len(rank)))
