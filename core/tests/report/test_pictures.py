"""Pictures of views: which samples, where each view stands, and what becomes of a text."""

import numpy as np
import pytest
import torch
from PIL import Image

from unlabeled.contract import View
from unlabeled.report.pictures import GAP, TITLE, grid, preview, scaled
from unlabeled.testing.toys import ToyBatch


class Numbers:
    """Ten samples of their own number."""

    def __len__(self):
        return 10

    def __getitems__(self, ids):
        return ToyBatch(*2 * [torch.tensor(ids)])


def views_of(*roles):
    return lambda batch, draw: [View(batch, role) for role in roles]


def picture(views):
    cells = [[scaled(np.full((2, 2, 3), int(x), np.uint8), (4, 6)) for x in view.batch.x] for view in views]
    return grid(views, cells, (5, 6))


def drawn(out, draw=picture, n=3, **more):
    return preview(Numbers(), views_of("clean"), views_of("global", "local"), out, draw, n=n, seed=0, **more)


def test_samples_are_spread_and_each_stands_in_its_place(tmp_path):
    found = np.asarray(Image.open(drawn(tmp_path / "new" / "a.png")))
    assert found.shape == (TITLE + 3 * (6 + GAP) + GAP, 3 * (5 + GAP) + GAP, 3)
    for row, sample in enumerate((0, 3, 6)):
        for left in (GAP, GAP + 5 + GAP, GAP + 2 * (5 + GAP)):
            top = TITLE + row * (6 + GAP)
            assert (found[top : top + 6, left : left + 4] == sample).all()
            assert (found[top : top + 6, left + 4 : left + 5 + GAP] == 255).all()
    assert len(found) < len(np.asarray(Image.open(drawn(tmp_path / "b.png", n=99))))


def test_a_text_is_written_as_it_is(tmp_path):
    def roles(views):
        return " ".join(view.role for view in views)

    assert drawn(tmp_path / "a.txt", roles, endings=(".png", ".txt")).read_text() == "clean global local"


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="n is 0"):
        drawn(tmp_path / "a.png", n=0)
    with pytest.raises(ValueError, match=r"must end in \.png$"):
        drawn(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"must end in \.png, \.txt or \.md$"):
        drawn(tmp_path / "a.jpg", endings=(".png", ".txt", ".md"))
