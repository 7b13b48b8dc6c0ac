"""Blocks on a whole grid of rows, in one to three dimensions: how rows are covered, and blocks as sets to predict.

BEiT, https://arxiv.org/abs/2106.08254; I-JEPA, https://arxiv.org/abs/2301.08243; data2vec 2.0,
https://arxiv.org/abs/2212.07525. What a block measures (patches, steps and mel bands, mm) is the plugin's to say.

    # G groups, D dimensions, N rows of a group (the last axis fastest), R blocks
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw, Purpose
from unlabeled.masks.rows import gather_rows, layout_of
from unlabeled.transfer import send

PLACES = (1 << 21) - 1  # low bits of a key that give way to a row's place in its group


def whole_grid(layout: Layout, dimensions: int) -> tuple[int, ...]:
    """The grid that every group fills; ``ValueError`` where there is none, or not every row may be masked."""
    if layout.grid is None or len(layout.grid) != dimensions:
        raise ValueError(f"this mask needs rows on a whole {dimensions}-D grid; choose --mask random")
    if layout.maskable is not None and len(layout.maskable) < layout.total:
        raise ValueError("this mask may touch every row, and some of these must not be masked; choose --mask random")
    return layout.grid


def inside(start: Tensor, side: Tensor, grid: Sequence[int]) -> Tensor:
    """``bool[..., N]``, True at the rows of blocks of ``side[..., D]`` rows from ``start[..., D]`` on."""
    flags = torch.ones(*start.shape[:-1], 1, dtype=torch.bool)
    for axis, rows in enumerate(grid):
        beyond = torch.arange(rows) - start[..., axis, None]
        along = (beyond >= 0) & (beyond < side[..., axis, None])
        flags = (flags[..., :, None] & along[..., None, :]).flatten(-2)
    return flags


def sliding_min(keys: Tensor, width: int, axis: int = -1) -> Tensor:
    """Least of ``width`` neighbors along ``axis``, which becomes ``width - 1`` shorter."""
    keys, done = keys.transpose(axis, -1), 1
    while done < width:  # windows of 1, 2, 4, ...: log2(width) passes instead of width
        step = min(done, width - done)
        keys = torch.minimum(keys[..., :-step], keys[..., step:])
        done += step
    return keys.transpose(axis, -1)


def turns(draw: Draw, grid: Sequence[int], side: Sequence[int]) -> Tensor:
    """``int64[G, N]``: the turn in which the first of all blocks of ``side`` rows covers each row.

    Blocks are laid down in random order, also over the edges, so that every row is covered equally often. No loop does
    that: a row's turn is the least key among the blocks that reach it, a sliding minimum.
    """
    starts = [rows + wide - 1 for rows, wide in zip(grid, side, strict=True)]
    keys = draw.words(math.prod(starts), Purpose.MASK_PLACE).unflatten(1, starts)
    for axis in range(len(side), 0, -1):
        keys = sliding_min(keys, side[axis - 1], axis)
    return keys.flatten(1)


def by_place(keys_GN: Tensor) -> Tensor:
    """Keys whose low bits are the row's place, so that of equal ones the first row comes first."""
    # where no two keys are equal, `choose` needs no stable sort
    return (keys_GN & ~PLACES) | (torch.arange(keys_GN.shape[1], device=keys_GN.device) << 1)


def to_predict(view: View, blocks_GRN: Tensor, hidden_GN: Tensor) -> View:
    """The view with hidden rows, and each block as a predict set; flags on the host, padded to the longest group."""
    layout, sets = layout_of(view), [hidden_GN, *blocks_GRN.unbind(1)]
    there = send(sets, layout.position.device)
    rows = [
        gather_rows(layout.pack(flags), tuple(on_host.sum(1).tolist()))
        for flags, on_host in zip(there, sets, strict=True)
    ]
    return replace(view, hidden=rows[0], predict=tuple(rows[1:]))
