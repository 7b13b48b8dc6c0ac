"""Features without a model."""

import torch

from unlabeled.contract import View
from unlabeled_medical3d.baselines import IntensityHistogram, RawPatches
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.ops.segmentation import batch_of

SPEC = VolumeSpec(2, (8, 8, 12))


def view(x):
    return View(batch_of(x), "clean")


def test_histograms_are_shares_of_each_channel():
    x = torch.zeros(1, 2, 8, 8, 12)
    x[:, 1, :4] = 10.0  # beyond the last edge
    found = IntensityHistogram(SPEC, bins=6)(view(x)).reshape(2, 6)
    assert found[0].tolist() == [0, 0, 0, 1, 0, 0]
    assert found[1].tolist() == [0, 0, 0, 0.5, 0, 0.5]


def test_raw_patches_are_means_and_cubes():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 8, 8, 12)
    raw = RawPatches(SPEC, side=2, patch=5)
    assert torch.allclose(raw(view(x))[0, 0], x[0, 0, :4, :4, :6].mean(), atol=1e-6)
    rows = raw.rows(view(x))
    assert rows.layout.grid == (2, 2, 3)
    assert torch.equal(rows.tokens[1], x[0, :, :4, :4, 4:8].flatten())
