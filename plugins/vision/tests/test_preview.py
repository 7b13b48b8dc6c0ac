"""The picture of views holds the views."""

import numpy as np
import pytest
import torch
from PIL import Image

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.report.pictures import GAP, TITLE
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.data.digits import Digits
from unlabeled_vision.preview import CELL, pixels, preview_views
from unlabeled_vision.views.standard import MultiCrop


def test_grid_has_a_row_a_sample_and_a_column_a_view(tmp_path):
    data = Digits(None)
    views = MultiCrop(data.spec, locals=2)
    out = preview_views(data, views, tmp_path / "new" / "views.png", n=3, seed=4)
    picture = np.asarray(Image.open(out))
    assert picture.shape == (TITLE + 3 * (CELL + GAP) + GAP, 5 * (CELL + GAP) + GAP, 3)
    batch = data.__getitems__([599])  # the second of three, spread over 1,797
    expected = pixels(views(batch, Draw(4, 0, batch.ids))[0], data.spec)[0].numpy()
    top, left = TITLE + CELL + GAP, GAP + CELL + GAP
    cell = picture[top : top + CELL, left : left + CELL]
    factor = CELL // 16
    assert np.abs(cell[factor // 2 :: factor, factor // 2 :: factor].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_are_rgb_again(channels):
    spec = ImageSpec(channels, 4)
    x = torch.full((2, channels, 4, 4), 0.2)
    view = View(ImageBatch(torch.arange(2), (x - torch.tensor(spec.mean)[:, None, None]) / spec.std[0]), "clean")
    shown = pixels(view, ImageSpec(channels, 4, spec.mean, spec.std[:1]))
    assert shown.shape == (2, 4, 4, 3)
    assert bool((shown == 51).all())
