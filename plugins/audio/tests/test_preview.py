"""The picture of the views: one row a clip, hidden rows dark."""

import pytest
import torch
from PIL import Image

from unlabeled.build import build
from unlabeled.config.run import resolve
from unlabeled.draw import Draw
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.preview import CELL, GAP, TITLE, cells, hidden_cells, preview_views
from unlabeled_audio.views.standard import Clean, Wave


def test_a_picture_has_a_column_a_view(tmp_path):
    data = Syllables(None, count=60)
    path = preview_views(data, Wave(data.spec), tmp_path / "a" / "views.png", n=3)
    with Image.open(path) as picture:
        assert picture.size == (3 * (CELL[0] + GAP) + GAP, TITLE + 3 * (CELL[1] + GAP) + GAP)
        assert len(picture.getcolors(1 << 20)) > 50


def test_hidden_rows_are_dark():
    config = resolve(
        {
            "data": {"name": "syllables", "count": 60},
            "views": "plain",
            "objective": "simmim",
            "encoder": {"name": "vit", "width": 24, "depth": 1, "heads": 2},
            "mask": {"name": "span", "ratio": 0.5, "length": 4},
            "training": {"batch_size": 4},
        },
        "audio",
    )
    parts = build(config)
    batch = parts.data.__getitems__([0, 1])
    view = parts.prepare(batch, 0, 0)[0]
    frames = [parts.data.spec.frames(n) for n in view.batch.lengths]
    hidden = hidden_cells(view, parts.data.spec, parts.encoder, frames)
    assert hidden.shape == (sum(frames), 40)
    assert 0.35 < float(hidden.mean()) < 0.65
    plain = cells(Clean(parts.data.spec)(batch, Draw(0, 0, batch.ids))[0], parts.data.spec)
    masked = cells(view, parts.data.spec, parts.encoder)
    assert float(masked[0].float().mean()) < 0.8 * float(plain[0].float().mean())
    assert masked[0].dtype == torch.uint8


def test_what_is_wrong_is_named(tmp_path):
    data = Syllables(None, count=60)
    with pytest.raises(ValueError, match="n is 0"):
        preview_views(data, Wave(data.spec), tmp_path / "a.png", n=0)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        preview_views(data, Wave(data.spec), tmp_path / "a.jpg")
