"""Raw pixels."""

import torch

from unlabeled.contract import Baseline, View
from unlabeled_vision.baselines import RawPixels
from unlabeled_vision.batch import ImageBatch


def test_raw_pixels_are_the_view_flattened() -> None:
    images = torch.randn(2, 3, 4, 4)
    features = RawPixels()(View(ImageBatch(torch.arange(2), images), "clean"))
    assert torch.equal(features, images.reshape(2, 48))
    assert isinstance(RawPixels(), Baseline)
