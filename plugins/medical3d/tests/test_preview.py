"""The picture of views holds middle slices, as radiologists see them."""

import torch

from unlabeled_medical3d.data.phantoms import Phantoms
from unlabeled_medical3d.preview import planes, preview_views
from unlabeled_medical3d.views.pretext import FusionViews


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


def test_views_that_ask_for_partners_get_them(tmp_path):
    data = Phantoms(None, count=8)
    assert preview_views(data, FusionViews(data.spec), tmp_path / "fused.png", n=2).is_file()
