"""I-JEPA's mask on patches: targets that the context never shows, and the sizes of the paper."""

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_vision.batch import ImageBatch
from unlabeled_vision.encoders.rows import grid_layout
from unlabeled_vision.masks.multi_block import MultiBlockMask


def masked(count, grid):
    ids = torch.arange(count)
    view = View(ImageBatch(ids, torch.zeros(count, 1, *grid)), "global", grid_layout(count, grid, torch.device("cpu")))
    return MultiBlockMask()(view, Draw(0, 0, ids))


@pytest.mark.parametrize("grid", [(4, 4), (7, 7), (14, 14), (6, 10)], ids=str)
def test_targets_are_rectangles_that_the_context_never_shows(grid):
    view = masked(50, grid)
    rows = grid[0] * grid[1]
    hidden = view.hidden.flags(50 * rows).reshape(50, rows)
    assert hidden.sum(1).unique().numel() == 1
    for target in view.predict:
        at = target.flags(50 * rows).reshape(50, rows)
        assert not (at & ~hidden).any()
        assert 0.1 <= float(at.float().mean()) <= 0.3
        ys, xs = torch.nonzero(at[0].reshape(grid), as_tuple=True)
        assert (int(ys.max() - ys.min()) + 1) * (int(xs.max() - xs.min()) + 1) == int(at[0].sum())
    assert int((~hidden).sum(1)[0]) >= rows // 4


def test_sizes_follow_the_paper():
    sizes = [MultiBlockMask().sizes(Draw(0, epoch, torch.zeros(1)), (14, 14)) for epoch in range(200)]
    targets = torch.stack([target for target, _, _ in sizes]).double()
    assert len(targets.unique(dim=0)) > 5
    assert 0.14 < float(targets.prod(1).mean()) / 196 < 0.21
    aspect = targets[:, 0] / targets[:, 1]
    assert ((aspect >= 0.6) & (aspect <= 1.8)).all()
    assert all(13 <= int(context[0]) <= 14 for _, context, _ in sizes)


def test_settings_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="the smaller first"):
        MultiBlockMask(scale=(0.3, 0.2))
    with pytest.raises(ValueError, match="too small for target blocks"):
        masked(2, (1, 1))
