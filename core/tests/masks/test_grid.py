"""Blocks on grids of one to three dimensions: the rows in them, the turn in which they cover a row, sets to predict."""

import itertools

import pytest
import torch

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw
from unlabeled.masks.grid import by_place, inside, sliding_min, to_predict, turns, whole_grid
from unlabeled.masks.rows import ShareMask
from unlabeled.testing.toys import toy_batch

GRIDS = [(9,), (4, 5), (3, 4, 2)]


def grid_layout(count, grid):
    return Layout((torch.Size(grid).numel(),) * count, torch.zeros(torch.Size(grid).numel() * count, len(grid)), grid)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_rows_of_a_block_are_those_within_its_sides(grid):
    start, side = torch.zeros(2, len(grid), dtype=torch.int64), torch.full((2, len(grid)), 2)
    start[1] = torch.tensor(grid) - 1  # reaches over the edge
    for flags, first in zip(inside(start, side, grid), start.tolist(), strict=True):
        for place, flag in zip(itertools.product(*map(range, grid)), flags.tolist(), strict=True):
            assert flag == all(a <= x < a + 2 for a, x in zip(first, place, strict=True))


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_a_sliding_minimum_is_the_least_of_each_window(width, axis):
    keys = torch.randint(1000, (2, 30, 20), generator=torch.Generator().manual_seed(0))
    assert torch.equal(sliding_min(keys, width, axis), keys.unfold(axis, width, 1).amin(-1))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_rows_of_a_turn_are_one_block(grid):
    for row in turns(Draw(0, 0, torch.arange(20)), grid, (2,) * len(grid)):
        first = torch.nonzero((row == row.min()).reshape(grid))
        assert (first.amax(0) - first.amin(0) < 2).all()
        assert len(first) == (first.amax(0) - first.amin(0) + 1).prod()


def test_of_equal_keys_the_first_row_comes_first():
    keys = by_place(torch.tensor([[1 << 30, 1 << 40, 1 << 30]]))
    assert keys.argsort(1).tolist() == [[0, 2, 1]]


def test_blocks_become_predict_sets_of_groups_of_any_length():
    layout = Layout((3, 5), torch.zeros(8, 1))
    blocks = inside(torch.tensor([[[0], [1]], [[3], [0]]]), torch.tensor(2).expand(2, 2, 1), (5,))
    view = to_predict(View(toy_batch([0, 1], (1, 1)), "global", layout), blocks, blocks.any(1))
    assert view.hidden.index.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert view.hidden.lengths == (3, 4)
    assert [rows.index.tolist() for rows in view.predict] == [[0, 1, 6, 7], [1, 2, 3, 4]]


def test_a_grid_that_is_not_whole_is_refused():
    layout = grid_layout(2, (2, 2))
    assert whole_grid(layout, 2) == (2, 2)
    with pytest.raises(ValueError, match="whole 3-D grid; choose --mask random"):
        whole_grid(layout, 3)
    narrow = Layout(layout.lengths, layout.position, (2, 2), maskable=Rows(torch.tensor([1, 5]), (1, 1)))
    with pytest.raises(ValueError, match="some of these must not be masked"):
        whole_grid(narrow, 2)


def test_a_share_hides_what_comes_first_in_its_order():
    class Last(ShareMask):
        def order(self, layout, draw):
            return -2 * layout.within

    view = View(toy_batch([0, 1], (1, 1)), "global", Layout((4, 2), torch.zeros(6, 1)))
    assert Last(0.5)(view, Draw(0, 0, torch.arange(2))).hidden.index.tolist() == [2, 3, 5]
