"""The picture of views holds middle slices, as radiologists see them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from unlabeled_medical3d.data.phantoms import Phantoms
from unlabeled_medical3d.preview import planes, preview_views
from unlabeled_medical3d.views.pretext import FusionViews
from unlabeled_medical3d.views.standard import SimCLR


def test_slices_are_seen_as_radiologists_do():
    volume = torch.zeros(4, 6, 8)
    volume[3, 3, 4] = 0.25  # right
    volume[2, 5, 4] = 0.5  # front
    volume[2, 3, 7] = 1.0  # head
    axial, coronal, sagittal = planes(volume)
    assert (axial.shape, coronal.shape, sagittal.shape) == ((6, 4), (8, 4), (8, 6))
    assert axial[2, 0] == 64  # the right is on the left
    assert axial[0, 1] == 128  # front is up
    assert coronal[0, 1] == 255  # head is up
    assert sagittal[0, 2] == 255
    assert sagittal[3, 0] == 128  # the face looks to the left


def test_the_picture_has_a_row_a_sample_and_a_column_a_view(tmp_path):
    data = Phantoms(None, count=8)
    out = preview_views(data, SimCLR(data.spec), tmp_path / "new" / "views.png", n=2)
    picture = np.asarray(Image.open(out))
    assert picture.shape == (16 + 2 * (96 + 6), 6 + 3 * (3 * 96 + 12), 3)
    assert len(np.unique(picture)) > 50
    again = preview_views(data, SimCLR(data.spec), tmp_path / "again.png", n=2)
    assert out.read_bytes() == again.read_bytes()


def test_views_that_ask_for_partners_get_them(tmp_path):
    data = Phantoms(None, count=8)
    assert preview_views(data, FusionViews(data.spec), tmp_path / "fused.png", n=2).is_file()


def test_wrong_targets_are_named(tmp_path):
    data = Phantoms(None, count=4)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        preview_views(data, SimCLR(data.spec), tmp_path / "views.jpg")
    with pytest.raises(ValueError, match="n is 0"):
        preview_views(data, SimCLR(data.spec), tmp_path / "views.png", n=0)
