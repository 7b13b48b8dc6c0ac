"""Masks on a grid of cubes whose sizes are in mm: blocks, cells that are as long in every direction, slabs.

Random cubes are core's ``random``; with an encoder that has rows for each channel (``--encoder.per-channel``) every
mask is drawn for each channel by itself. Each hides the same number of rows of every sample, so that a ViT can drop
them, and what a sample gets depends on its id, the epoch and the seed, never on its batch.

    # B samples, G = B * channels groups that are drawn for, N = x * y * z rows of a group, R blocks;
    # hidden: True = the encoder must not see the row
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw, Purpose
from unlabeled.masks.rows import gather_rows
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.rows import Grid, triple

STEP = 1 << 20  # above any row number


def row_grid(view: View) -> tuple[Layout, int, Grid]:
    """The layout of a view, channels that have rows of their own (1 = none has), and the grid (x, y, z)."""
    layout = view.layout
    assert layout is not None, "a mask needs the view's layout"
    if layout.grid is None or len(layout.grid) not in (3, 4):
        raise ValueError("this mask needs rows on a whole 3-D grid; choose --mask random")
    if layout.maskable is not None and len(layout.maskable) < layout.total:
        raise ValueError("this mask may touch every row, and some of these must not be masked; choose --mask random")
    return layout, layout.grid[0] if len(layout.grid) == 4 else 1, triple(layout.grid[-3:])


def row_size(spec: VolumeSpec, grid: Grid) -> tuple[float, ...]:
    """mm of a row along x, y and z."""
    return tuple(n * mm / g for n, mm, g in zip(spec.size, spec.spacing, grid, strict=True))


def rows_of(side: Sequence[float], spec: VolumeSpec, grid: Grid) -> Grid:
    """Whole rows, at least one and at most the grid's, of ``side`` mm; one number serves all axes."""
    sides = tuple(side) * (3 if len(side) == 1 else 1)
    per_row = row_size(spec, grid)
    return triple([min(g, max(1, round(mm / one))) for mm, one, g in zip(sides, per_row, grid, strict=True)])


def hide_first(view: View, layout: Layout, keys_GN: Tensor, ratio: float) -> View:
    """The view with the rows of the smallest keys hidden: the same count of every group."""
    rows = keys_GN.shape[1]
    count = min(max(round(ratio * rows), 1), rows - 1)
    order_GN = torch.argsort(keys_GN, dim=1, stable=True)
    flags_GN = torch.zeros_like(keys_GN, dtype=torch.bool).scatter_(1, order_GN[:, :count], True)
    lengths = (count * len(flags_GN) // len(layout.lengths),) * len(layout.lengths)
    return replace(view, hidden=gather_rows(flags_GN.flatten().to(layout.position.device), lengths))


def words(draw: Draw, channels: int, n: int, purpose: int) -> Tensor:
    """``int64[G, n]`` of 40 random bits, rows of a sample's channels side by side."""
    drawn = draw.words(channels * n, purpose) & ((1 << 40) - 1)
    return drawn.reshape(-1, n)


class Blocks:
    """Cuboids of a size in mm at random places, overlapping, until an exact share of the volume is hidden.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        side: of a cuboid in mm, one number or three (x, y, z); empty = 3/8 of the view.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, spec: VolumeSpec, *, ratio: float = 0.6, side: tuple[float, ...] = ()) -> None:
        _check(ratio, side)
        self.spec, self.ratio = spec, ratio
        self.side = side or tuple(0.375 * n * mm for n, mm in zip(spec.size, spec.spacing, strict=True))

    def __call__(self, view: View, draw: Draw) -> View:
        layout, channels, grid = row_grid(view)
        draw = draw.to("cpu")
        block = rows_of(self.side, self.spec, grid)
        total = math.prod(grid)
        rounds = max(8, math.ceil(4 * self.ratio * total / math.prod(block)))
        inside_GRN = torch.ones(len(draw) * channels, rounds, total, dtype=torch.bool)
        position_N3 = torch.cartesian_prod(*(torch.arange(n) for n in grid))
        place_G3R = words(draw, channels, 3 * rounds, Purpose.MASK_PLACE).unflatten(1, (3, rounds))
        for axis, (rows, side) in enumerate(zip(grid, block)):
            # from outside the grid on: every row is then as likely to be under a block
            start = place_G3R[:, axis] % (rows + side - 1) - (side - 1)
            along = position_N3[:, axis]
            inside_GRN &= (along >= start[..., None]) & (along < start[..., None] + side)
        first_GN = torch.where(inside_GRN.any(1), inside_GRN.to(torch.uint8).argmax(1), rounds)
        filler_GN = words(draw, channels, total, Purpose.MASK_FILL)
        return hide_first(view, layout, (first_GN << 40) + filler_GN, self.ratio)


class Cells:
    """Random cells that are as long in mm in every direction, whatever the rows are: thick slices make flat rows.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        side: of a cell in mm, one number or three; empty = the longest side of a row, so that cells are near cubes.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, spec: VolumeSpec, *, ratio: float = 0.75, side: tuple[float, ...] = ()) -> None:
        _check(ratio, side)
        self.spec, self.ratio, self.side = spec, ratio, side

    def __call__(self, view: View, draw: Draw) -> View:
        layout, channels, grid = row_grid(view)
        draw = draw.to("cpu")
        cell = rows_of(self.side or (max(row_size(self.spec, grid)),), self.spec, grid)
        position_N3 = torch.cartesian_prod(*(torch.arange(n) for n in grid))
        # the lattice of cells is shifted for each group, so that a row's place in its cell is not always the same
        shift = words(draw, channels, 3, Purpose.MASK_SIZE) % torch.tensor(cell)
        count = torch.tensor([-(-g // c) + 1 for g, c in zip(grid, cell)])
        at_GN3 = (position_N3 + shift[:, None]) // torch.tensor(cell)
        number_GN = (at_GN3[..., 0] * count[1] + at_GN3[..., 1]) * count[2] + at_GN3[..., 2]
        key_GM = words(draw, channels, int(count.prod()), Purpose.MASK) >> 8  # 32 bits: cells seldom tie
        within = torch.arange(len(position_N3))  # the last cell is cut off after a row, and stays in one piece
        return hide_first(view, layout, key_GM.gather(1, number_GN) * STEP + within, self.ratio)


class Slabs:
    """Whole slabs of rows across one axis: what a scanner leaves out between slices.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        axis: that slabs lie across: 0 sagittal (x), 1 coronal (y), 2 axial (z); 3 = another for each sample.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, *, ratio: float = 0.5, axis: int = 3) -> None:
        _check(ratio, ())
        if axis not in (0, 1, 2, 3):
            raise ValueError(f"axis is {axis}; it must be 0, 1, 2, or 3 for any")
        self.ratio, self.axis = ratio, axis

    def __call__(self, view: View, draw: Draw) -> View:
        layout, channels, grid = row_grid(view)
        draw = draw.to("cpu")
        position_N3 = torch.cartesian_prod(*(torch.arange(n) for n in grid))
        key_GM = words(draw, channels, max(grid), Purpose.MASK) >> 8
        axis_G = torch.full((len(key_GM),), self.axis)
        if self.axis == 3:
            axis_G = words(draw, channels, 1, Purpose.MASK_SIZE)[:, 0] % 3
        key_GN = key_GM.gather(1, position_N3.T[axis_G])
        return hide_first(view, layout, key_GN * STEP + torch.arange(len(position_N3)), self.ratio)


def _check(ratio: float, side: Sequence[float]) -> None:
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; it must be in (0, 1)")
    if len(side) not in (0, 1, 3) or any(mm <= 0 for mm in side):
        raise ValueError(f"side is {side}; it must be one or three numbers of mm above 0")
