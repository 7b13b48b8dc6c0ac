"""I-JEPA's mask in three dimensions, https://arxiv.org/abs/2301.08243: several boxes to predict, the rest as context.

Boxes may overlap; random rows are hidden beside them until every sample hides blocks x rows of a box, so that a ViT can
drop the hidden rows. Differs: the context is all that is not hidden, where the paper also crops it.

    # G groups (samples), R boxes, N = x * y * z rows of a group; hidden: True = the encoder must not see the row
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.masks.rows import gather_rows
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
        layout = view.layout
        assert layout is not None, "a mask needs the view's layout"
        if layout.grid is None or len(layout.grid) != 3 or layout.maskable is not None:
            raise ValueError("multi_block needs a whole 3-D grid of rows, all maskable; choose --mask random")
        grid = triple(layout.grid)
        inside_GRN = self._boxes(draw, grid).to(layout.position.device)
        count = inside_GRN[0, 0].sum().item() * self.blocks
        if count >= inside_GRN.shape[2]:
            raise ValueError(f"{self.blocks} boxes of {self.sides(grid)} rows leave nothing of a {grid} grid to see")
        union_GN = inside_GRN.any(1)
        keys_GN = draw.words(inside_GRN.shape[2], Purpose.MASK_FILL).to(union_GN.device) >> 1
        order_GN = torch.argsort(keys_GN.masked_fill(union_GN, torch.iinfo(torch.int64).min), dim=1, stable=True)
        hidden_GN = torch.zeros_like(union_GN).scatter_(1, order_GN[:, : int(count)], True)
        per_box = (int(count) // self.blocks,) * len(union_GN)
        predict = tuple(gather_rows(inside_GRN[:, n].flatten(), per_box) for n in range(self.blocks))
        return replace(view, hidden=gather_rows(hidden_GN.flatten(), (int(count),) * len(union_GN)), predict=predict)

    def _boxes(self, draw: Draw, grid: Grid) -> Tensor:
        """``bool[G, R, N]``, True inside each box."""
        sides = self.sides(grid)
        room = torch.tensor([g - s + 1 for g, s in zip(grid, sides, strict=True)])
        drawn = draw.to("cpu").integers(3 * self.blocks, Purpose.MASK_PLACE, room.repeat(self.blocks))
        start_GR3 = drawn.unflatten(1, (self.blocks, 3))
        place_N3 = torch.cartesian_prod(*(torch.arange(g) for g in grid))
        beyond = place_N3 - start_GR3[:, :, None]
        return ((beyond >= 0) & (beyond < torch.tensor(sides))).all(-1)
