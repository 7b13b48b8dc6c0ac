"""Decoded images of one size kept in memory that forked workers share, so that each file is decoded once.

# N samples of the data set, B of a batch, C channels, H height, W width
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from unlabeled.data.cache import shared_memory
from unlabeled_vision.data.reading import Header


@dataclass
class Cache:
    """uint8 ``images[N, C, H, W]``, and which of them are there: ``ready[N]``."""

    images: Tensor
    ready: Tensor

    @classmethod
    def fitting(cls, headers: Sequence[Header], channels: int, most: int) -> Self | None:
        """Room for all images, where they are 8-bit, of one size, and within ``most`` MiB; else None."""
        sizes = {(h.height, h.width) for h in headers}
        if len(sizes) != 1 or any(h.deep for h in headers):
            return None
        (height, width), count = sizes.pop(), len(headers)
        if count * channels * height * width > most << 20:
            return None
        flat = shared_memory(count * (channels * height * width + 1))
        return cls(flat[count:].view(count, channels, height, width), flat[:count].view(torch.bool))

    def get(self, ids: Tensor) -> Tensor | None:
        """Images ``[B, C, H, W]`` of all ``ids``, None where one is not there yet."""
        return self.images[ids] if bool(self.ready[ids].all()) else None

    def one(self, number: int, read: Callable[[], Tensor]) -> Tensor:
        """Image ``number``, by ``read`` the first time."""
        if self.ready[number]:
            return self.images[number]
        image = read()
        if image.shape == self.images.shape[1:]:  # smaller where its file was reduced
            self.images[number] = image
            self.ready[number] = True
        return image
