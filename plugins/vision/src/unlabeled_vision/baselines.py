"""Features without a model: raw pixels; oriented gradients beside a histogram of colors.

# B samples, C channels, H height, W width, D features
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled_vision.batch import ImageSpec

BINS = {1: 16, 3: 4}  # a channel, of gray and of colors: 16 or 64 bins of all


class RawPixels:
    """The pixels of a view, flattened: ``[B, C * H * W]``."""

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        return batch.images.flatten(1).float()


class HogColor:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005; by scikit-image) and of colors: ``[B, D]``.

    9 orientations in cells of an eighth of the side (1 to 16 pixels), blocks of 2 x 2; colors in 4 x 4 x 4 bins, gray
    in 16, as square roots of shares, so that distances are those of Hellinger. Alpha is left out.
    """

    def __init__(self, spec: ImageSpec) -> None:
        self._mean, self._std = (torch.tensor(x).view(-1, 1, 1) for x in (spec.mean, spec.std))
        self._cell = min(16, max(1, spec.size // 8))
        self._block = min(2, spec.size // self._cell)

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        images = batch.images.float().cpu() * self._std + self._mean
        colors = images[:, : 3 if images.shape[1] >= 3 else 1].clamp(0, 1)
        return torch.from_numpy(np.stack([self._one(image.numpy()) for image in colors]))

    def _one(self, image_CHW: np.ndarray) -> np.ndarray:
        from skimage.feature import hog

        cell, block = (self._cell,) * 2, (self._block,) * 2
        edges = hog(image_CHW, 9, cell, block, block_norm="L2-Hys", channel_axis=0)
        return np.concatenate((edges, colors_of(image_CHW))).astype(np.float32)


def colors_of(image_CHW: np.ndarray) -> np.ndarray:
    """Square roots of the share of each joint bin of values in [0, 1]."""
    bins = BINS[len(image_CHW)]
    places = np.minimum((image_CHW * bins).astype(np.int64), bins - 1).reshape(len(image_CHW), -1)
    flat = np.ravel_multi_index(tuple(places), (bins,) * len(image_CHW))
    share: np.ndarray = np.sqrt(np.bincount(flat, minlength=bins ** len(image_CHW)) / flat.size)
    return share
