"""Masks on a grid of cubes whose sizes are in mm: blocks, cells that are as long in every direction, slabs.

Random cubes are core's ``random``; with an encoder that has rows for each channel (``--encoder.per-channel``) every
mask is drawn for each channel by itself. Each hides the same number of rows of every sample, so that a ViT can drop
them, and what a sample gets depends on its id, the epoch and the seed, never on its batch.

    # B samples, G = B * channels groups that are drawn for, N = x * y * z rows of a group, R blocks, M cells
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.masks.grid import inside, whole_grid
from unlabeled.masks.rows import ShareMask, layout_of
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.rows import Grid, triple

STEP = 1 << 20  # above any row number


def row_size(spec: VolumeSpec, grid: Grid) -> tuple[float, ...]:
    """mm of a row along x, y and z."""
    return tuple(n * mm / g for n, mm, g in zip(spec.size, spec.spacing, grid, strict=True))


def rows_of(side: Sequence[float], spec: VolumeSpec, grid: Grid) -> Grid:
    """Whole rows, at least one and at most the grid's, of ``side`` mm; one number serves all axes."""
    sides = tuple(side) * (3 if len(side) == 1 else 1)
    per_row = row_size(spec, grid)
    return triple([min(g, max(1, round(mm / one))) for mm, one, g in zip(sides, per_row, grid, strict=True)])


def words(draw: Draw, channels: int, n: int, purpose: int) -> Tensor:
    """``int64[G, n]`` of 40 random bits, rows of a sample's channels side by side."""
    drawn = draw.words(channels * n, purpose) & ((1 << 40) - 1)
    return drawn.reshape(-1, n)


class GridMask(ShareMask):
    """Hides an exact share of each grid; of an encoder with rows for each channel, of each channel's."""

    def __init__(self, ratio: float, side: tuple[float, ...] = ()) -> None:
        super().__init__(ratio)
        if len(side) not in (0, 1, 3) or any(mm <= 0 for mm in side):
            raise ValueError(f"side is {side}; it must be one or three numbers of mm above 0")

    def keys(self, grid: Grid, channels: int, draw: Draw) -> Tensor:
        """``int64[G, N]``: a key for each row; the smallest are hidden."""
        raise NotImplementedError

    def order(self, layout: Layout, draw: Draw) -> Tensor:
        grid = triple(whole_grid(layout, 3))
        return self.keys(grid, len(layout.lengths) // max(1, len(draw)), draw.to("cpu")).flatten() << 1

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        if layout.grid is None or len(layout.grid) != 4:
            return super().__call__(view, draw)
        channels, *grid = layout.grid
        lengths = (math.prod(grid),) * (channels * len(layout.lengths))
        hidden = super().__call__(replace(view, layout=replace(layout, lengths=lengths, grid=tuple(grid))), draw).hidden
        assert hidden is not None
        return replace(view, hidden=Rows(hidden.index, (len(hidden) // len(layout.lengths),) * len(layout.lengths)))


class Blocks(GridMask):
    """Cuboids of a size in mm at random places, overlapping, until an exact share of the volume is hidden.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        side: of a cuboid in mm, one number or three (x, y, z); empty = 3/8 of the view.
    """

    def __init__(self, spec: VolumeSpec, *, ratio: float = 0.6, side: tuple[float, ...] = ()) -> None:
        super().__init__(ratio, side)
        self.spec = spec
        self.side = side or tuple(0.375 * n * mm for n, mm in zip(spec.size, spec.spacing, strict=True))

    def keys(self, grid: Grid, channels: int, draw: Draw) -> Tensor:
        block = rows_of(self.side, self.spec, grid)
        total = math.prod(grid)
        rounds = max(8, math.ceil(4 * self.ratio * total / math.prod(block)))
        place_GR3 = words(draw, channels, 3 * rounds, Purpose.MASK_PLACE).unflatten(1, (3, rounds)).transpose(1, 2)
        # from outside the grid on: every row is then as likely to be under a block
        side = torch.tensor(block)
        start_GR3 = place_GR3 % (torch.tensor(grid) + side - 1) - (side - 1)
        inside_GRN = inside(start_GR3, side.expand_as(start_GR3), grid)
        first_GN = torch.where(inside_GRN.any(1), inside_GRN.to(torch.uint8).argmax(1), rounds)
        filler_GN = words(draw, channels, total, Purpose.MASK_FILL)
        return (first_GN << 40) + filler_GN


class Cells(GridMask):
    """Random cells that are as long in mm in every direction, whatever the rows are: thick slices make flat rows.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        side: of a cell in mm, one number or three; empty = the longest side of a row, so that cells are near cubes.
    """

    def __init__(self, spec: VolumeSpec, *, ratio: float = 0.75, side: tuple[float, ...] = ()) -> None:
        super().__init__(ratio, side)
        self.spec, self.side = spec, side

    def keys(self, grid: Grid, channels: int, draw: Draw) -> Tensor:
        cell = rows_of(self.side or (max(row_size(self.spec, grid)),), self.spec, grid)
        position_N3 = torch.cartesian_prod(*(torch.arange(n) for n in grid))
        # the lattice of cells is shifted for each group, so that a row's place in its cell is not always the same
        shift = words(draw, channels, 3, Purpose.MASK_SIZE) % torch.tensor(cell)
        count = torch.tensor([-(-g // c) + 1 for g, c in zip(grid, cell)])
        at_GN3 = (position_N3 + shift[:, None]) // torch.tensor(cell)
        number_GN = (at_GN3[..., 0] * count[1] + at_GN3[..., 1]) * count[2] + at_GN3[..., 2]
        key_GM = words(draw, channels, int(count.prod()), Purpose.MASK) >> 8  # 32 bits: cells seldom tie
        within = torch.arange(len(position_N3))  # the last cell is cut off after a row, and stays in one piece
        return key_GM.gather(1, number_GN) * STEP + within


class Slabs(GridMask):
    """Whole slabs of rows across one axis: what a scanner leaves out between slices.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        axis: that slabs lie across: 0 sagittal (x), 1 coronal (y), 2 axial (z); 3 = another for each sample.
    """

    def __init__(self, *, ratio: float = 0.5, axis: int = 3) -> None:
        super().__init__(ratio)
        if axis not in (0, 1, 2, 3):
            raise ValueError(f"axis is {axis}; it must be 0, 1, 2, or 3 for any")
        self.axis = axis

    def keys(self, grid: Grid, channels: int, draw: Draw) -> Tensor:
        position_N3 = torch.cartesian_prod(*(torch.arange(n) for n in grid))
        key_GM = words(draw, channels, max(grid), Purpose.MASK) >> 8
        axis_G = torch.full((len(key_GM),), self.axis)
        if self.axis == 3:
            axis_G = words(draw, channels, 1, Purpose.MASK_SIZE)[:, 0] % 3
        key_GN = key_GM.gather(1, position_N3.T[axis_G])
        return key_GN * STEP + torch.arange(len(position_N3))
