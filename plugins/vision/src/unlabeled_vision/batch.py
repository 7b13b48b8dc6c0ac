"""The spec that vision parts are wired with, and batches of images.

# B samples of a batch, C channels, H height, W width
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from unlabeled.data.batch import MovableBatch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageSpec:
    """What the encoder gets: ``channels`` and the side ``size`` in pixels of the square images that views make.

    ``mean`` and ``std`` normalize each channel, as the last step of every view; empty = ImageNet's for 3 channels,
    and 0.5 and 0.25 otherwise. One number serves all channels. ``mirror``: whether a mirror image is still such data,
    as it is of most photos, and not of digits or letters.
    """

    channels: int
    size: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    mirror: bool = True

    def __post_init__(self) -> None:
        if self.channels < 1 or self.size < 1:
            raise ValueError(f"channels {self.channels} and size {self.size}: both must be at least 1")
        three = self.channels == 3
        object.__setattr__(self, "mean", self._each("mean", self.mean or (IMAGENET_MEAN if three else (0.5,))))
        object.__setattr__(self, "std", self._each("std", self.std or (IMAGENET_STD if three else (0.25,))))
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; it must be above 0")

    def _each(self, name: str, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(values) not in (1, self.channels):
            raise ValueError(f"{name} has {len(values)} numbers; it needs 1 or {self.channels}, one a channel")
        return tuple(values) * (self.channels if len(values) == 1 else 1)


@dataclass(frozen=True)
class ImageBatch(MovableBatch):
    """``ids[B]`` and ``images``: ``[B, C, H, W]`` where all are of one size, else a list of ``[C, H, W]``.

    uint8, or float32 in [0, 1] (16-bit and float sources); after views, normalized floats. ``bad`` names samples that
    could not be decoded, with the reason; they are left out, and in training others stand in under their own ids.
    """

    ids: Tensor
    images: Tensor | list[Tensor]
    bad: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, samples: slice) -> Self:
        return replace(self, ids=self.ids[samples], images=self.images[samples], bad=())

    def _each(self, move: Any) -> Self:
        """``move`` applied to the tensors, a list of images as one flat tensor."""
        if isinstance(self.images, Tensor):
            return replace(self, ids=move(self.ids), images=move(self.images))
        flat, shapes = _pack(self.images)
        return replace(self, ids=move(self.ids), images=_unpack(move(flat), shapes))

    def __reduce__(self) -> tuple[Any, ...]:
        # images of many sizes travel from a worker as one tensor: one each would use up the file descriptors
        if isinstance(self.images, Tensor):
            return ImageBatch, (self.ids, self.images, self.bad)
        return _restore, (self.ids, *_pack(self.images), self.bad)


def _pack(images: list[Tensor]) -> tuple[Tensor, tuple[tuple[int, ...], ...]]:
    flat = torch.cat([x.reshape(-1) for x in images]) if images else torch.empty(0, dtype=torch.uint8)
    return flat, tuple(tuple(x.shape) for x in images)


def _unpack(flat: Tensor, shapes: tuple[tuple[int, ...], ...]) -> list[Tensor]:
    counts = [c * h * w for c, h, w in shapes]
    return [part.view(shape) for part, shape in zip(flat.split(counts), shapes)] if shapes else []


def _restore(ids: Tensor, flat: Tensor, shapes: tuple[tuple[int, ...], ...], bad: Any) -> ImageBatch:
    return ImageBatch(ids, _unpack(flat, shapes), bad)


def collate(images: list[Tensor]) -> Tensor | list[Tensor]:
    """One ``[B, C, H, W]`` where all are of one size. Floats among them make all of them floats in [0, 1]."""
    if len({image.dtype for image in images}) > 1:
        images = [image.float().div_(255) if image.dtype == torch.uint8 else image for image in images]
    return torch.stack(images) if len({image.shape for image in images}) == 1 else images
