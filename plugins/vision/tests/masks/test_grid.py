"""Masks on a grid of patches: the laws of their papers."""

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_vision.batch import ImageBatch
from unlabeled_vision.encoders.rows import grid_layout
from unlabeled_vision.masks.grid import BlockMask, GridMask, InverseBlockMask


def masked(mask, ids, grid=(8, 8)):
    images = torch.zeros(len(ids), 1, grid[0], grid[1])
    view = View(ImageBatch(ids, images), "global", grid_layout(len(ids), grid, torch.device("cpu")))
    return mask(view, Draw(0, 0, ids))


def flags(view):
    return view.hidden.flags(view.layout.total).reshape(len(view), -1)


@pytest.mark.parametrize("ratio", [0.25, 0.6, 0.75])
def test_grid_hides_the_same_of_every_cell_and_every_row_as_often(ratio):
    hidden = flags(masked(GridMask(ratio=ratio), torch.arange(4000))).reshape(-1, 4, 2, 4, 2).float()
    per_cell = hidden.sum((2, 4))
    assert per_cell.max() - per_cell.min() <= 1
    rate = hidden.mean(0)
    exact = round(ratio * 64) / 64
    assert (rate - exact).abs().max() < 5 * (exact * (1 - exact) / 4000) ** 0.5


def test_inverse_block_keeps_one_rectangle_where_it_fits():
    kept = ~flags(masked(InverseBlockMask(ratio=0.75, aspect=1.0), torch.arange(100))).reshape(-1, 8, 8)
    for image in kept:
        ys, xs = torch.nonzero(image, as_tuple=True)
        assert (int(ys.max() - ys.min()) + 1) * (int(xs.max() - xs.min()) + 1) == 16


def test_block_hides_neighbors_far_more_often_than_chance():
    hidden = flags(masked(BlockMask(ratio=0.4), torch.arange(200), (14, 14))).reshape(-1, 14, 14).float()
    beside = (hidden[:, :, 1:] * hidden[:, :, :-1]).mean() / 0.4
    assert beside > 0.7  # 0.4 if rows were hidden independently
