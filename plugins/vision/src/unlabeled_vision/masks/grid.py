"""Masks on a grid of patches: block (BEiT), inverse block (data2vec 2.0), the same share of every cell.

BEiT https://arxiv.org/abs/2106.08254, data2vec 2.0 https://arxiv.org/abs/2212.07525, uniform sampling
https://arxiv.org/abs/2205.10063. All is drawn on the CPU, where it needs square roots, and copied.

Differs: BEiT leaves out a block that would pass the number wanted, here its last rows are left out.

    # B samples, D = 2 sides, N = h * w rows of an image; hidden: True = the encoder must not see the row
"""

import math

import torch
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import at_least
from unlabeled.masks.grid import inside, whole_grid
from unlabeled.masks.rows import ShareMask, share

ROUNDS = 24  # rectangles that an image may take; what is left then is filled at random
PHANTOM = 1 << 20  # above any row number


def sides(area: Tensor, aspect: Tensor, grid: tuple[int, ...]) -> Tensor:
    """``int64[B, D]``: rows of rectangles of ``area`` rows and ``aspect`` = height / width, within the grid."""
    exact = torch.stack((torch.sqrt(area * aspect), torch.sqrt(area / aspect)), -1)
    return exact.round().long().clamp(min=1).minimum(torch.tensor(grid))


def corner(place: Tensor, side: Tensor, grid: tuple[int, ...]) -> Tensor:
    """``int64[B, D]``: the first row of rectangles, from two uniform numbers each."""
    return (place * (torch.tensor(grid) - side + 1)).long()


def cover(draw: Draw, grid: tuple[int, ...], count: int, least: int, aspect: float) -> Tensor:
    """``int64[B, N]``: BEiT's algorithm 1, rectangles one after another; the ``count`` smallest keys are covered."""
    draw, rows = draw.to("cpu"), math.prod(grid)
    size = draw.uniform(ROUNDS, Purpose.MASK_SIZE)
    shape = draw.uniform(ROUNDS, Purpose.MASK, -math.log(1 / aspect), math.log(1 / aspect)).exp()
    place = draw.uniform(2 * ROUNDS, Purpose.MASK_PLACE).unflatten(1, (ROUNDS, 2))
    first = torch.full((len(draw), rows), ROUNDS)  # the rectangle that covered a row
    for number in range(ROUNDS):
        lacking = count - (first < ROUNDS).sum(1)
        if bool((lacking <= 0).all()):
            break
        most = lacking.clamp(min=least)
        side = sides(least + size[:, number] * (most - least), shape[:, number], grid)
        covered = inside(corner(place[:, number], side, grid), side, grid)
        first = torch.where(covered & (first == ROUNDS), number, first)
    within = torch.arange(rows).expand_as(first)  # the last rectangle is cut off after a row, and stays in one piece
    filler = draw.permutation(rows, Purpose.MASK_FILL)
    return first * PHANTOM + torch.where(first < ROUNDS, within, filler)


class BlockMask(ShareMask):
    """Rectangles of random size, aspect and place until an exact share of the image is hidden.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        least: fewest rows of a rectangle, before it is cut to size; 0 = a twelfth of the image, BEiT's 16 of 196.
        aspect: smallest height / width of a rectangle, in (0, 1]; the greatest is its inverse.
    """

    def __init__(self, *, ratio: float = 0.4, least: int = 0, aspect: float = 0.3) -> None:
        super().__init__(ratio)
        at_least(0, least=least)
        if not 0 < aspect <= 1:
            raise ValueError(f"aspect is {aspect}; it must be in (0, 1]")
        self.least, self.aspect = least, aspect

    def order(self, layout: Layout, draw: Draw) -> Tensor:
        grid = whole_grid(layout, 2)
        rows = math.prod(grid)
        count = share(self.ratio, (rows,))[0]
        return cover(draw, grid, count, self.least or max(1, rows // 12), self.aspect).flatten() << 1


class InverseBlockMask(BlockMask):
    """Everything is hidden but rectangles, which together keep an exact share of the image.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        least: fewest rows of a kept rectangle, before it is cut to size; 0 = all that is kept, in one rectangle.
        aspect: smallest height / width of a rectangle, in (0, 1]; the greatest is its inverse.
    """

    def __init__(self, *, ratio: float = 0.75, least: int = 0, aspect: float = 0.5) -> None:
        super().__init__(ratio=ratio, least=least, aspect=aspect)

    def order(self, layout: Layout, draw: Draw) -> Tensor:
        grid = whole_grid(layout, 2)
        rows = math.prod(grid)
        kept = rows - share(self.ratio, (rows,))[0]
        # the last to be covered are hidden: complemented keys turn the order around
        return ~(cover(draw, grid, kept, self.least or kept, self.aspect).flatten() << 1)


class GridMask(ShareMask):
    """The same share of every small cell of the grid, at random places in it.

    Args:
        ratio: share of the rows that is hidden, in (0, 1).
        cell: side of a cell in rows; at least 2.
    """

    flat = True

    def __init__(self, *, ratio: float = 0.75, cell: int = 2) -> None:
        super().__init__(ratio)
        if cell < 2:
            raise ValueError(f"cell is {cell}; it must be at least 2, else the mask hides nothing or all")
        self.cell = cell

    def order(self, layout: Layout, draw: Draw) -> Tensor:
        (h, w), draw, cell = whole_grid(layout, 2), draw.to("cpu"), self.cell
        y, x = torch.arange(h)[:, None], torch.arange(w)
        across = -(-w // cell)
        group = (y // cell * across + x // cell).flatten()
        slot = (y % cell * cell + x % cell).flatten()
        # every cell has all its places, also where the grid's edge cuts it: ranks stay uniform there
        places = -(-h // cell) * across * cell * cell
        word = draw.words(places, Purpose.MASK).unflatten(1, (-1, cell * cell))
        rank = torch.argsort(torch.argsort(word, dim=2), dim=2)[:, group, slot]
        return (rank * PHANTOM + draw.permutation(h * w, Purpose.MASK_FILL)).flatten() << 1
