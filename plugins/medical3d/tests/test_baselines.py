"""Features without a model."""

import pytest
import torch
from scipy.stats import entropy, kurtosis, skew

from unlabeled.contract import View
from unlabeled_medical3d.baselines import IntensityHistogram, Moments, RawPatches
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.ops.grids import gradient_magnitude
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


def test_moments_are_scipys_of_intensities_body_and_gradient():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 8, 8, 12) * 0.1 - 1
    x[:, 1, 2:6, :4, 3:9] += 3.0
    found = Moments(SPEC)(view(x)).reshape(2, 2, 21)[1, 1]
    body = x[1, 1, 2:6, :4, 3:9]
    edges = gradient_magnitude(x)[1, 1]
    for place, values in ((0, x[1, 1]), (4, body), (8, edges)):
        flat = values.flatten().numpy()
        expected = [flat.mean(), flat.std(), skew(flat), kurtosis(flat, fisher=False)]
        assert found[place : place + 4].tolist() == pytest.approx(expected, rel=1e-3)
    shares = IntensityHistogram(SPEC)(view(x)).reshape(2, 2, 32)[1, 1]
    assert found[12:14].tolist() == pytest.approx([float((shares**2).sum()), entropy(shares.numpy())], rel=1e-4)
    spread = [((n * n - 1) / 12) ** 0.5 / whole for n, whole in ((4, 8), (4, 8), (6, 12))]
    assert found[14:].tolist() == pytest.approx([1 / 8, 0.5, spread[0], 0.25, spread[1], 0.5, spread[2]], rel=1e-4)


def test_moments_of_a_constant_volume_are_finite():
    assert torch.isfinite(Moments(SPEC)(view(torch.ones(1, 2, 8, 8, 12)))).all()


def test_raw_patches_are_means_and_cubes():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 8, 8, 12)
    raw = RawPatches(SPEC, side=2, patch=5)
    assert torch.allclose(raw(view(x))[0, 0], x[0, 0, :4, :4, :6].mean(), atol=1e-6)
    rows = raw.rows(view(x))
    assert rows.layout.grid == (2, 2, 3)
    assert torch.equal(rows.tokens[1], x[0, :, :4, :4, 4:8].flatten())
