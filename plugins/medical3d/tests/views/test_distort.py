"""Curves, shuffling, painting and cut-out, by the properties that the papers give them."""

import numpy as np
import pytest
import torch

from unlabeled.draw import Draw
from unlabeled_medical3d.views.distort import bezier_table, covered, curve, cutout, paint, shuffle, windows

COUNT = 200


@pytest.fixture
def draw():
    return Draw(5, 0, torch.arange(COUNT))


@pytest.fixture
def x():
    return torch.rand(8, 1, 20, 20, 20, generator=torch.Generator().manual_seed(0))


def literal_bezier(x, controls, falling):
    """Models Genesis' curve, point by point: sorted coordinates of the cubic, interpolated."""
    t = np.linspace(0, 1, 100_000)
    points = np.array([[0, 0], controls[:2], controls[2:], [1, 1]])
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    xs, ys = np.sort(points[:, 0] @ weights), np.sort(points[:, 1] @ weights)
    return np.interp(x, xs, ys[::-1]) if falling else np.interp(x, xs, ys)


@pytest.mark.parametrize("falling", [False, True])
def test_the_curve_equals_a_literal_one(falling):
    controls = torch.tensor([[0.2, 0.9, 0.7, 0.1], [0.95, 0.4, 0.05, 0.6]])
    table = bezier_table(controls, torch.tensor([falling] * 2))
    at = np.linspace(0, 1, table.shape[1])
    for row in range(2):
        if falling:  # a falling curve is the rising one's mirror: a table read backwards
            expected = literal_bezier(at, controls[row].numpy(), False)[::-1]
        else:
            expected = literal_bezier(at, controls[row].numpy(), False)
        np.testing.assert_allclose(table[row].numpy(), expected, atol=5e-3)


def test_curves_are_monotone_and_keep_the_range(x, draw):
    out, applied = curve(x, Draw(5, 0, torch.arange(8)), 1.0)
    assert applied.all()
    for before, after in zip(x.flatten(1), out.flatten(1)):
        step = after[before.argsort()].diff()
        assert (step >= -1e-5).all() or (step <= 1e-5).all()
        assert after.min() >= before.min() - 1e-5
        assert after.max() <= before.max() + 1e-5
    same, applied = curve(x, draw_of(8), 0.0)
    assert torch.equal(same, x)
    assert not applied.any()


def draw_of(n):
    return Draw(5, 0, torch.arange(n))


def test_shuffling_moves_voxels_within_small_windows(x):
    place = torch.stack(torch.meshgrid(*[torch.arange(20.0)] * 3, indexing="ij"))
    out, applied = shuffle(place.repeat(8, 1, 1, 1, 1), draw_of(8), 1.0, 1.0)
    assert applied.all()
    moved = (out - place).abs()
    assert moved.max() < 2  # a tenth of the side, at most
    assert 0.2 < (moved.sum(1) > 0).float().mean() < 0.9
    out, applied = shuffle(x, draw_of(8), 0.5, 1.0)
    assert torch.equal(out[~applied], x[~applied])
    assert not torch.equal(out[applied], x[applied])


def test_shuffling_one_window_is_a_permutation():
    x = torch.arange(20.0**3).view(1, 1, 20, 20, 20)
    out, _ = shuffle(x, draw_of(1), 1.0, 1e-4)  # one window: no other lies over it
    assert torch.equal(out.flatten().sort().values, x.flatten())


def test_painting_keeps_in_or_outside_what_it_should(draw):
    x = torch.zeros(COUNT, 1, 18, 18, 18)
    x[:, :, 0, 0, 0] = 1  # so that there is a range
    out, kind = paint(x, draw, 0.9, 0.2)
    share = (out != x).flatten(1).float().mean(1)
    assert (share[kind == 0] == 0).all()
    assert share[kind == 1].min() > 0
    assert share[kind == 1].max() < 0.25
    assert share[kind == 2].min() > 0.2
    assert 0.84 < (kind > 0).float().mean() < 0.96
    assert 0.1 < (kind == 1).float().sum() / (kind > 0).sum() < 0.3
    assert out.min() >= 0
    assert out.max() <= 1


def test_cutout_spends_a_budget_uniform_up_to_the_most(draw):
    x = torch.rand(COUNT, 1, 16, 16, 16)
    out, share = cutout(x, draw, 0.3)
    changed = (out != x).flatten(1).float().mean(1)
    torch.testing.assert_close(changed, share, atol=1e-3, rtol=0)
    assert share.max() <= 0.3
    assert share.min() < 0.03
    assert 0.1 < share.mean() < 0.15  # windows overlap


def test_windows_lie_inside_with_sides_in_range(draw):
    boxes = windows(draw, 1030, 6, (2, 1, 3), (4, 5, 3), (9, 8, 7))
    assert (boxes[..., :3] >= 0).all()
    assert (boxes[..., :3] + boxes[..., 3:] <= torch.tensor([9, 8, 7])).all()
    assert [sorted(boxes[..., n].unique().tolist()) for n in (3, 4, 5)] == [[2, 3, 4], [1, 2, 3, 4, 5], [3]]
    flags = covered(boxes[:, :1], (9, 8, 7))
    assert torch.equal(flags.sum((1, 2, 3, 4)), boxes[:, 0, 3:].prod(-1))
