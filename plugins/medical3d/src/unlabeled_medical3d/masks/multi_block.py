"""I-JEPA's mask in three dimensions, https://arxiv.org/abs/2301.08243: several boxes to predict, the rest as context.

Boxes may overlap; random rows are hidden beside them until every sample hides blocks x rows of a box, so that a ViT can
drop the hidden rows. Differs: the context is all that is not hidden, where the paper also crops it.

    # G groups (samples), R boxes, N = x * y * z rows of a group
"""

import math

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.masks.grid import inside, to_predict, whole_grid
from unlabeled.masks.rows import layout_of, smallest
from unlabeled_medical3d.encoders.rows import Grid, triple


class MultiBlock:
    """Boxes of rows to predict from the rest.

    Args:
        blocks: number of boxes; 4 in the paper.
        scale: share of the rows that a box has, in (0, 1); the sides follow the grid's.
    """

    sets = frozenset({"hidden", "predict"})

    def __init__(self, *, blocks: int = 3, scale: float = 0.15) -> None:
        if blocks < 1 or not 0 < scale < 1:
            raise ValueError(f"blocks {blocks} and scale {scale}: at least 1, and a share in (0, 1)")
        self.blocks, self.scale = blocks, scale
        self.targets = blocks

    def sides(self, grid: Grid) -> Grid:
        """Rows along each side of a box."""
        return triple([max(1, min(g, round(g * self.scale ** (1 / 3)))) for g in grid])

    def __call__(self, view: View, draw: Draw) -> View:
        grid, draw = triple(whole_grid(layout_of(view), 3)), draw.to("cpu")
        side, rows = self.sides(grid), math.prod(grid)
        count = math.prod(side) * self.blocks
        if count >= rows:
            raise ValueError(f"{self.blocks} boxes of {side} rows leave nothing of a {grid} grid to see")
        boxes_GRN = self._boxes(draw, grid, torch.tensor(side))
        # rows of boxes first, then random ones
        keys_GN = (draw.words(rows, Purpose.MASK_FILL) >> 1).masked_fill(boxes_GRN.any(1), torch.iinfo(torch.int64).min)
        return to_predict(view, boxes_GRN, smallest(keys_GN, (count,) * len(keys_GN)))

    def _boxes(self, draw: Draw, grid: Grid, side: Tensor) -> Tensor:
        """``bool[G, R, N]``, True inside each box."""
        room = torch.tensor(grid) - side + 1
        drawn = draw.integers(3 * self.blocks, Purpose.MASK_PLACE, room.repeat(self.blocks))
        start_GR3 = drawn.unflatten(1, (self.blocks, 3))
        return inside(start_GR3, side.expand_as(start_GR3), grid)
