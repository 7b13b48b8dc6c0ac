"""Masks on a grid of patches: block (BEiT), multi-block (I-JEPA), inverse block (data2vec 2.0), grid.

BEiT https://arxiv.org/abs/2106.08254, I-JEPA https://arxiv.org/abs/2301.08243, data2vec 2.0
https://arxiv.org/abs/2212.07525, uniform sampling https://arxiv.org/abs/2205.10063. The uniform random mask is core's.

Every mask hides the same number of rows of each image, so that a ViT can drop them, and what a sample gets depends on
its id, the epoch and the seed, never on its batch. All is drawn on the CPU, where it needs square roots, and copied.

Differs: BEiT leaves out a block that would pass the number wanted, here its last rows are left out; I-JEPA draws block
sizes once a batch and trims contexts to the smallest of a batch, here sizes are drawn once an epoch and the context
has a fixed size.

    # B samples, N = h * w rows of an image; hidden: True = the encoder must not see the row
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose

ROUNDS = 24  # rectangles that an image may take; what is left then is filled at random
PHANTOM = 1 << 20  # above any row number


# ---------------------------------------------------------------------------------------------- pieces


def grid_of(view: View) -> tuple[Layout, int, int]:
    """The layout of a view and its h and w; ``ValueError`` where it has no whole grid."""
    layout = view.layout
    assert layout is not None, "a mask needs the view's layout"
    if layout.grid is None or len(layout.grid) != 2:
        raise ValueError("this mask needs rows on a whole 2-D grid; choose --mask random")
    if layout.maskable is not None and len(layout.maskable) < layout.total:
        raise ValueError("this mask may touch every row, and some of these must not be masked; choose --mask random")
    return layout, layout.grid[0], layout.grid[1]


def hidden_count(ratio: float, rows: int) -> int:
    """The exact number of hidden rows of an image: at least one, and never all."""
    return min(max(round(ratio * rows), 1), rows - 1)


def smallest(key_BN: Tensor, count: int) -> Tensor:
    """``bool[B, N]``, True at the ``count`` smallest keys of each sample."""
    order = torch.argsort(key_BN, dim=1, stable=True)[:, :count]
    return torch.zeros_like(key_BN, dtype=torch.bool).scatter_(1, order, True)


def to_rows(flags_BN: Tensor, count: int, device: torch.device) -> Rows:
    """The rows at True, ``count`` of each sample."""
    index = torch.nonzero(flags_BN.flatten()).flatten().to(device)
    return Rows(index, (count,) * len(flags_BN))


def rectangle(top: Tensor, left: Tensor, height: Tensor, width: Tensor, h: int, w: int) -> Tensor:
    """``bool[B, h * w]``, True inside each sample's rectangle; the arguments are ``int64[B]``."""
    y, x = torch.arange(h), torch.arange(w)
    rows = (y >= top[:, None]) & (y < (top + height)[:, None])
    columns = (x >= left[:, None]) & (x < (left + width)[:, None])
    return (rows[:, :, None] & columns[:, None, :]).flatten(1)


def sides(area: Tensor, aspect: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Height and width in rows of rectangles of ``area`` rows and ``aspect`` = height / width, within the grid."""
    height = torch.sqrt(area * aspect).round().long().clamp(1, h)
    width = torch.sqrt(area / aspect).round().long().clamp(1, w)
    return height, width


def cover(draw: Draw, h: int, w: int, count: int, least: int, aspect: float) -> Tensor:
    """BEiT's algorithm 1: rectangles, one after another, until exactly ``count`` rows are covered: ``bool[B, N]``."""
    draw = draw.to("cpu")
    size = draw.uniform(ROUNDS, Purpose.MASK_SIZE)
    shape = draw.uniform(ROUNDS, Purpose.MASK, -math.log(1 / aspect), math.log(1 / aspect)).exp()
    place = draw.uniform(2 * ROUNDS, Purpose.MASK_PLACE)
    first = torch.full((len(draw), h * w), ROUNDS)  # the rectangle that covered a row
    for number in range(ROUNDS):
        lacking = count - (first < ROUNDS).sum(1)
        if bool((lacking <= 0).all()):
            break
        most = lacking.clamp(min=least)
        height, width = sides(least + size[:, number] * (most - least), shape[:, number], h, w)
        top = (place[:, 2 * number] * (h - height + 1)).long()
        left = (place[:, 2 * number + 1] * (w - width + 1)).long()
        inside = rectangle(top, left, height, width, h, w)
        first = torch.where(inside & (first == ROUNDS), number, first)
    within = torch.arange(h * w).expand_as(first)  # the last rectangle is cut off after a row, and stays in one piece
    filler = draw.permutation(h * w, Purpose.MASK_FILL)
    return smallest(first * PHANTOM + torch.where(first < ROUNDS, within, filler), count)


# ---------------------------------------------------------------------------------------------- masks


class BlockMask:
    """Rectangles of random size, aspect and place until an exact share of the image is hidden.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        least: fewest rows of a rectangle, before it is cut to size; 0 = a twelfth of the image, BEiT's 16 of 196.
        aspect: smallest height / width of a rectangle, in (0, 1]; the greatest is its inverse.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, *, ratio: float = 0.4, least: int = 0, aspect: float = 0.3) -> None:
        _check_block(ratio, least, aspect)
        self.ratio, self.least, self.aspect = ratio, least, aspect

    def __call__(self, view: View, draw: Draw) -> View:
        layout, h, w = grid_of(view)
        count = hidden_count(self.ratio, h * w)
        flags = cover(draw, h, w, count, self.least or max(1, h * w // 12), self.aspect)
        return replace(view, hidden=to_rows(flags, count, layout.position.device))


class InverseBlockMask:
    """Everything is hidden but rectangles, which together keep an exact share of the image.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        least: fewest rows of a kept rectangle, before it is cut to size; 0 = all that is kept, in one rectangle.
        aspect: smallest height / width of a rectangle, in (0, 1]; the greatest is its inverse.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, *, ratio: float = 0.75, least: int = 0, aspect: float = 0.5) -> None:
        _check_block(ratio, least, aspect)
        self.ratio, self.least, self.aspect = ratio, least, aspect

    def __call__(self, view: View, draw: Draw) -> View:
        layout, h, w = grid_of(view)
        count = hidden_count(self.ratio, h * w)
        kept = cover(draw, h, w, h * w - count, self.least or h * w - count, self.aspect)
        return replace(view, hidden=to_rows(~kept, count, layout.position.device))


class GridMask:
    """The same share of every small cell of the grid, at random places in it.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        cell: side of a cell in rows; at least 2.
    """

    sets = frozenset({"hidden"})
    targets = 0
    flat = True

    def __init__(self, *, ratio: float = 0.75, cell: int = 2) -> None:
        _check_ratio(ratio)
        if cell < 2:
            raise ValueError(f"cell is {cell}; it must be at least 2, else the mask hides nothing or all")
        self.ratio, self.cell = ratio, cell

    def __call__(self, view: View, draw: Draw) -> View:
        layout, h, w = grid_of(view)
        draw, cell = draw.to("cpu"), self.cell
        y, x = torch.arange(h)[:, None], torch.arange(w)
        across = -(-w // cell)
        group = (y // cell * across + x // cell).flatten()
        slot = (y % cell * cell + x % cell).flatten()
        # every cell has all its places, also where the grid's edge cuts it: ranks stay uniform there
        places = -(-h // cell) * across * cell * cell
        word = draw.words(places, Purpose.MASK).unflatten(1, (-1, cell * cell))
        rank = torch.argsort(torch.argsort(word, dim=2), dim=2)[:, group, slot]
        count = hidden_count(self.ratio, h * w)
        flags = smallest(rank * PHANTOM + draw.permutation(h * w, Purpose.MASK_FILL), count)
        return replace(view, hidden=to_rows(flags, count, layout.position.device))


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
        if blocks < 1:
            raise ValueError(f"blocks is {blocks}; it must be at least 1")
        if not 0 < scale[0] <= scale[1] <= 0.5:
            raise ValueError(f"scale is {scale}; it must be two shares in (0, 0.5], the smaller first")
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"aspect is {aspect}; it must be two ratios above 0, the smaller first")
        if not 0 < context[0] <= context[1] <= 1:
            raise ValueError(f"context is {context}; it must be two shares in (0, 1], the smaller first")
        self.targets = blocks
        self.scale, self.aspect, self.context = scale, aspect, context

    def sizes(self, draw: Draw, h: int, w: int) -> tuple[tuple[int, int], tuple[int, int], int]:
        """Sides of a target and of the context block, and how many rows are seen: the same for a whole epoch."""
        epoch = Draw(draw.seed, draw.epoch, torch.zeros(1, dtype=torch.int64), draw.view)
        share, aspect, seen = epoch.uniform(3, Purpose.MASK_SIZE).double().unbind(1)
        area = h * w * (self.scale[0] + share * (self.scale[1] - self.scale[0]))
        target = sides(area, self.aspect[0] + aspect * (self.aspect[1] - self.aspect[0]), h, w)
        whole = h * w * (self.context[0] + seen * (self.context[1] - self.context[0]))
        block = sides(whole, torch.ones_like(whole), h, w)
        (th, tw), (ch, cw) = ((int(a), int(b)) for a, b in (target, block))
        if th * tw > h * w // 2:
            raise ValueError(
                f"a grid of {h} x {w} rows is too small for target blocks; choose a smaller --encoder.patch"
            )
        return (th, tw), (ch, cw), max(h * w // 4, ch * cw - self.targets * th * tw, 1)

    def __call__(self, view: View, draw: Draw) -> View:
        layout, h, w = grid_of(view)
        draw = draw.to("cpu")
        (th, tw), (ch, cw), seen = self.sizes(draw, h, w)
        place = draw.uniform(2 * self.targets + 2, Purpose.MASK_PLACE)

        def block(number: int, height: int, width: int) -> Tensor:
            top = (place[:, 2 * number] * (h - height + 1)).long()
            left = (place[:, 2 * number + 1] * (w - width + 1)).long()
            return rectangle(top, left, torch.full_like(top, height), torch.full_like(left, width), h, w)

        targets = [block(0, th, tw)]
        union = targets[0]
        for number in range(1, self.targets):
            one = block(number, th, tw)
            fits = (h * w - (union | one).sum(1, keepdim=True)) >= seen
            targets.append(torch.where(fits, one, targets[0]))
            union = union | targets[-1]
        around = block(self.targets, ch, cw)
        # seen first: the context block less the targets, then what lies outside it; a target never
        rank = (union.long() * 2 + (~around).long()) * PHANTOM + draw.permutation(h * w, Purpose.MASK_FILL)
        kept = smallest(rank, seen)
        device = layout.position.device
        predict = tuple(to_rows(target, th * tw, device) for target in targets)
        return replace(view, hidden=to_rows(~kept, h * w - seen, device), predict=predict)


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; it must be in (0, 1)")


def _check_block(ratio: float, least: int, aspect: float) -> None:
    _check_ratio(ratio)
    if least < 0:
        raise ValueError(f"least is {least}; it must be at least 0")
    if not 0 < aspect <= 1:
        raise ValueError(f"aspect is {aspect}; it must be in (0, 1]")
