"""Features without a model: they are what they say, and a turned edge or another color moves them."""

import numpy as np
import pytest
import torch
from skimage.feature import hog

from unlabeled.contract import Baseline, View
from unlabeled_vision.baselines import HogColor, RawPixels, colors_of
from unlabeled_vision.batch import ImageBatch, ImageSpec


def test_raw_pixels_are_the_view_flattened() -> None:
    images = torch.randn(2, 3, 4, 4)
    features = RawPixels()(View(ImageBatch(torch.arange(2), images), "clean"))
    assert torch.equal(features, images.reshape(2, 48))
    assert isinstance(RawPixels(), Baseline)


def _hog_color(images, **spec):
    spec = ImageSpec(images.shape[1], images.shape[-1], **spec)
    mean, std = (torch.tensor(x).view(1, -1, 1, 1) for x in (spec.mean, spec.std))
    return HogColor(spec)(View(ImageBatch(torch.arange(len(images)), (images - mean) / std), "clean"))


def test_gradients_are_those_of_scikit_image_and_colors_their_shares() -> None:
    images = torch.rand(2, 3, 32, 32)
    found = _hog_color(images)
    edges = hog(images[1].numpy(), 9, (4, 4), (2, 2), channel_axis=0)
    np.testing.assert_allclose(found[1, : len(edges)], edges, atol=1e-4)
    assert found[1, len(edges) :].square().sum().item() == pytest.approx(1)


def test_colors_fall_in_joint_bins() -> None:
    half = np.zeros((3, 2, 4), dtype=np.float32)
    half[0, :, :3] = 1.0  # three of four columns are red
    share = colors_of(half) ** 2
    assert share[3 * 16] == pytest.approx(0.75)
    assert share[0] == pytest.approx(0.25)
    assert colors_of(np.full((1, 2, 2), 0.5, dtype=np.float32))[8] == 1


@pytest.mark.parametrize(("channels", "size"), [(1, 1), (1, 8), (2, 16), (4, 33)])
def test_gradients_of_every_size_and_number_of_channels(channels, size) -> None:
    images = torch.rand(3, channels, size, size)
    found = _hog_color(images)
    assert found.isfinite().all()
    if channels in (2, 4):
        images[:, -1] = 0  # alpha tells nothing
        assert torch.equal(_hog_color(images), found)
