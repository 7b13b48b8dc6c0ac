"""Masks in mm: sizes in the world, channels by themselves."""

from dataclasses import replace

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.rows import grid_layout
from unlabeled_medical3d.masks.grid import Blocks, Cells, Slabs, row_size, rows_of

COUNT = 24
THICK = VolumeSpec(1, (32, 32, 16), (1.0, 1.0, 6.0))  # thick slices: rows of 4 x 4 x 12 mm
GRID = (8, 8, 8)


def placed(grid=GRID, count=COUNT):
    batch = VolumeBatch(torch.arange(count), torch.zeros(count, 1, 1, 1, 1), torch.eye(4).repeat(count, 1, 1))
    return View(batch, "global", layout=grid_layout(count, grid, torch.device("cpu")))


def flags(view):
    layout = view.layout
    return view.hidden.flags(layout.total).reshape(len(layout.lengths), *layout.grid)


@pytest.fixture
def draw():
    return Draw(3, 0, torch.arange(COUNT))


def test_rows_have_a_size_in_mm():
    assert row_size(THICK, GRID) == (4.0, 4.0, 12.0)
    assert rows_of((24.0,), THICK, GRID) == (6, 6, 2)
    assert rows_of((1.0, 500.0, 12.0), THICK, GRID) == (1, 8, 1)


def test_blocks_are_blocks_of_their_size(draw):
    hidden = flags(Blocks(THICK, ratio=0.1, side=(12.0, 12.0, 36.0))(placed(), draw))  # 3 x 3 x 3 rows, about two
    whole = hidden.unfold(1, 2, 1).unfold(2, 2, 1).unfold(3, 2, 1).all((4, 5, 6))
    assert whole.flatten(1).any(1).float().mean() > 0.9
    alone = RandomMask(ratio=0.1)(placed(), draw)
    scattered = flags(alone).unfold(1, 2, 1).unfold(2, 2, 1).unfold(3, 2, 1).all((4, 5, 6))
    assert scattered.sum() == 0


def test_cells_are_as_long_in_mm_in_every_direction(draw):
    hidden = flags(Cells(THICK, ratio=0.5)(placed(), draw))  # 12 mm: 3 x 3 x 1 rows
    agree = [float((hidden == hidden.roll(1, dims=axis)).float().mean()) for axis in (1, 2, 3)]
    assert agree[0] > 0.6
    assert agree[1] > 0.6
    assert 0.4 < agree[2] < 0.6  # the next row along z is another cell: a coin


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_lie_across_their_axis(draw, axis):
    hidden = flags(Slabs(ratio=0.5, axis=axis)(placed(), draw))
    planes = hidden.movedim(1 + axis, 1).flatten(2).float().mean(2)
    assert set(planes.flatten().tolist()) == {0.0, 1.0}
    assert len({tuple(row.tolist()) for row in planes}) > 10


def test_any_axis_is_another_for_each_sample(draw):
    hidden = flags(Slabs(ratio=0.5)(placed(), draw))
    whole = [(hidden.movedim(1 + a, 1).flatten(2).float().mean(2) % 1 == 0).all(1) for a in range(3)]
    assert all(3 < int(found.sum()) < 20 for found in whole)


@pytest.mark.parametrize("mask", [Blocks(THICK), Cells(THICK), Slabs(), RandomMask()])
def test_channels_with_rows_of_their_own_are_masked_by_themselves(mask, draw):
    hidden = flags(mask(placed((2, *GRID)), draw))
    assert hidden.shape == (COUNT, 2, *GRID)
    first, second = hidden[:, 0], hidden[:, 1]
    assert (first != second).flatten(1).any(1).all()
    if not isinstance(mask, RandomMask):
        assert torch.equal(first.flatten(1).sum(1), second.flatten(1).sum(1))


def test_a_grid_that_is_none_is_refused(draw):
    view = placed()
    with pytest.raises(ValueError, match="choose --mask random"):
        Blocks(THICK)(replace(view, layout=replace(view.layout, grid=None)), draw)


@pytest.mark.parametrize("wrong", [{"ratio": 0.0}, {"ratio": 1.0}, {"side": (1.0, 2.0)}, {"side": (-4.0,)}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Blocks(THICK, **wrong)
