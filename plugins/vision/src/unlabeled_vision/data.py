"""Image data sets, and what they yield: the spec that every vision part is wired with, and batches of images.

``Digits`` needs no download; ``Images`` reads a folder, a zip of one, an ``.npz``, or a text file of paths. Samples are
numbered in natural order of their names. A file that cannot be read never stops a run by itself: it is found by its
header when the data set is opened, or when it is decoded, named once with the reason, and counted; only a share above
``max_bad`` stops.

    # N samples of the data set, B of a batch, C channels, H height, W width
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled.files import check_bad
from unlabeled_vision.arrays import read_arrays
from unlabeled_vision.cache import Cache
from unlabeled_vision.files import FileError, Source, by_folder, open_source, read
from unlabeled_vision.reading import MODES, Header, decode, quiet, read_header

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
class ImageBatch:
    """``ids[B]`` and ``images``: ``[B, C, H, W]`` where all are of one size, else a list of ``[C, H, W]``.

    uint8, or float32 in [0, 1] (16-bit and float sources); after views, normalized floats. ``bad`` names samples that
    could not be decoded, with the reason; the next readable sample stands in for each, under its own id.
    """

    ids: Tensor
    images: Tensor | list[Tensor]
    bad: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, samples: slice) -> Self:
        return replace(self, ids=self.ids[samples], images=self.images[samples], bad=())

    def to(self, device: torch.device | str) -> Self:
        return self._each(lambda x: x.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Called by torch's loader."""
        return self._each(lambda x: x.pin_memory())

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


# ---------------------------------------------------------------------------------------------- data sets


class Digits:
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships, 1 channel; the last fifth is the test.

    They are ordered by writer, so the last fifth tests on hands that training has mostly not seen.

    Args:
        size: side in pixels of the images that views make of them.
    """

    def __init__(self, path: str | None, *, size: int = 16) -> None:
        from sklearn.datasets import load_digits

        if path is not None:
            raise ValueError(f"the digits come with scikit-learn; to read {path}, give --data images:{path}")
        found = load_digits()
        self.spec = ImageSpec(1, size, mirror=False)
        self.labels: Tensor | None = torch.from_numpy(found.target).long()
        self.classes = tuple(str(n) for n in range(10))
        self.test: Tensor | None = torch.arange(len(found.target)) >= len(found.target) * 4 // 5
        self._x = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)[:, None]

    def __len__(self) -> int:
        return len(self._x)

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        ids = torch.as_tensor(indices, dtype=torch.int64)
        return ImageBatch(ids, self._x[ids])

    def report(self, batch: ImageBatch) -> list[str]:
        """Nothing here can be unreadable."""
        return []

    def describe(self) -> str:
        return f"digits of scikit-learn: {len(self):,} images, 10 classes, 1 channel, 8 x 8, the last fifth held out"


class Images:
    """Images of a user: a folder (also with ``train`` and ``test``), a ``.zip``, an ``.npz``, a ``.txt`` of paths.

    A folder's first level of sub-folders gives the classes. An ``.npz`` has ``x`` ``[N, H, W]`` or ``[N, H, W, C]``
    (uint8, uint16, or float in [0, 1]) and may have ``y[N]``.

    Args:
        size: side in pixels of the images that views make; 0 = the data's own where all are of one size (their
            shorter side), else the median shorter side in steps of 16; at most 224.
        channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; 0 = 1 where all images are gray, else 3.
        mean: of each channel, subtracted as the views' last step; empty = ImageNet's for 3 channels, else 0.5.
        std: of each channel, divided by; empty = ImageNet's for 3 channels, else 0.25.
        mirror: whether a mirror image is still such data; False for letters, digits, signs, the heart's side.
        shrink: larger files are reduced by a whole factor while the shorter side stays at least this many times size
            (JPEG in the decoder, which saves most of its time); 0 = never.
        white: the value that becomes 1 in 16-bit images (4095 for 12-bit cameras).
        cache: MiB of decoded images kept in memory, where all are of one size and fit; 0 = none.
    """

    def __init__(
        self,
        path: str,
        max_bad: float,
        *,
        size: int = 0,
        channels: int = 0,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        mirror: bool = True,
        shrink: float = 2.0,
        white: int = 65535,
        cache: int = 512,
    ) -> None:
        if size < 0 or cache < 0 or white < 1:
            raise ValueError(f"size {size}, cache {cache} and white {white}: none can be negative, and white not 0")
        if shrink and shrink < 1:
            raise ValueError(f"shrink is {shrink}; it must be 0 or at least 1")
        if channels not in (0, *MODES):
            raise ValueError(f"channels is {channels}; it must be 0 (the data's own) or 1 to 4")
        self._path, self._max_bad = Path(path), max_bad
        reader: _Files | _Arrays
        if self._path.suffix.lower() == ".npz" and self._path.is_file():
            reader = _Arrays(self._path, channels, white)
        else:
            reader = _Files(self._path, channels, white, cache)
        self._reader = reader
        self.bad: dict[str, str] = dict(reader.bad)
        self._total = len(reader) + len(reader.bad)
        self._check_bad()
        self.labels, self.classes, self.test = reader.labels, reader.classes, reader.test
        self.spec = ImageSpec(reader.channels, size or reader.side, mean, std, mirror)
        reader.least = round(shrink * self.spec.size)

    def __len__(self) -> int:
        return len(self._reader)

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        """Samples ``indices``. One that cannot be decoded is replaced by the next that can, whose id it takes."""
        return self._reader.batch(indices)

    def report(self, batch: ImageBatch) -> list[str]:
        """One line for each file of ``batch.bad`` that is new here; :class:`UsageError` once they are too many.

        Decoding happens in worker processes, so the main process calls this with each batch that arrives.
        """
        new = {name: reason for name, reason in batch.bad if name not in self.bad}
        self.bad |= new
        if new:
            self._check_bad()
        return [f"skipped {name}: {reason}" for name, reason in new.items()]

    def _check_bad(self) -> None:
        check_bad(self._path, self.bad, self._total, self._max_bad, "images")

    def describe(self) -> str:
        about = [f"{len(self):,} images"]
        if self.classes:
            about.append(f"{len(self.classes)} classes")
        if self.test is not None:
            about.append(f"{int(self.test.sum()):,} held out")
        about += [f"{self.spec.channels} channel{'s' * (self.spec.channels > 1)}", self._reader.extent]
        if self.bad:
            about.append(f"{len(self.bad):,} unreadable skipped")
        return f"{self._path}: {', '.join(about)}"


class _Files:
    """Samples in files, each decoded when it is asked for, or once where the cache can hold all."""

    def __init__(self, path: Path, channels: int, white: int, cache: int) -> None:
        self._source = open_source(path)
        headers, self.bad = _scan(self._source)
        self.names = list(headers)
        self.least = 0
        self._white = white
        self.channels = channels or (1 if all(h.gray for h in headers.values()) else 3)
        folders, test = by_folder(self.names)
        self.classes = tuple(sorted({f for f in folders if f is not None}))
        number = {name: n for n, name in enumerate(self.classes)}
        self.labels = torch.tensor([number.get(f or "", -1) for f in folders]) if self.classes else None
        self.test = None if test is None else torch.tensor(test)
        self.side, self.extent = _extent(Counter((h.height, h.width) for h in headers.values()))
        self._cache = Cache.fitting(list(headers.values()), self.channels, cache)

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: Sequence[int]) -> ImageBatch:
        ids = torch.as_tensor(indices, dtype=torch.int64)
        images = None if self._cache is None else self._cache.get(ids)
        if images is not None:
            return ImageBatch(ids, images)
        bad: dict[str, str] = {}
        with quiet():
            found = [self._readable(int(index), bad) for index in indices]
        ids = torch.tensor([number for number, _ in found], dtype=torch.int64)
        return ImageBatch(ids, collate([image for _, image in found]), tuple(bad.items()))

    def _readable(self, first: int, bad: dict[str, str]) -> tuple[int, Tensor]:
        """The first sample from ``first`` on that can be decoded, with its number; ``bad`` gets those before it."""
        for turn in range(len(self)):
            number = (first + turn) % len(self)
            try:
                return number, self._image(number)
            except FileError as error:
                bad[self.names[number]] = str(error)
        raise UsageError(f"none of the {len(self):,} images can be decoded; the last: {bad[self.names[number]]}")

    def _image(self, number: int) -> Tensor:
        def load() -> Tensor:
            return decode(read(self._source, self.names[number]), self.channels, least=self.least, white=self._white)

        return load() if self._cache is None else self._cache.one(number, load)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": None}  # a spawned worker cannot share this memory, so it decodes


def _scan(source: Source) -> tuple[dict[str, Header], dict[str, str]]:
    """The header of each readable file, and why the others are not; in the source's order."""

    def look(name: str) -> Header | str:
        try:
            with source.open(name) as file:
                return read_header(file)
        except FileError as error:
            return str(error)

    # threads wait for disks together; in slices, since a task for each file costs as much as a small header
    slices = [source.names[start : start + 256] for start in range(0, len(source.names), 256)]
    with quiet(), ThreadPoolExecutor(4) as pool:
        found = dict(zip(source.names, chain.from_iterable(pool.map(lambda part: [look(n) for n in part], slices))))
    good = {name: header for name, header in found.items() if isinstance(header, Header)}
    return good, {name: reason for name, reason in found.items() if isinstance(reason, str)}


def _extent(sizes: Counter[tuple[int, int]]) -> tuple[int, str]:
    """The default side of views for images of these sizes, and the sizes in words."""
    if not sizes:
        return 1, "of no size"
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        return min(224, height, width), f"{width} x {height}"
    sides = sorted(min(size) for size in sizes.elements())
    median = sides[len(sides) // 2]
    large = max(sizes, key=lambda s: s[0] * s[1])
    return min(224, max(16, median // 16 * 16)), f"of {len(sizes):,} sizes up to {large[1]} x {large[0]}"


class _Arrays:
    """Samples in the arrays of an ``.npz``, in memory."""

    def __init__(self, path: Path, channels: int, white: int) -> None:
        self._x, self.labels, self.classes = read_arrays(path, channels)
        self.channels = self._x.shape[1]
        self._white = white if self._x.dtype == np.uint16 else 1
        self.bad: dict[str, str] = {}
        self.least = 0
        self.test: Tensor | None = None
        self.side, self.extent = _extent(Counter([self._x.shape[2:]]))

    def __len__(self) -> int:
        return len(self._x)

    def batch(self, indices: Sequence[int]) -> ImageBatch:
        rows = np.asarray(indices, dtype=np.int64)
        found = self._x[rows]
        if found.dtype != np.uint8:
            found = np.clip(found.astype(np.float32) / np.float32(self._white), 0, 1)
        return ImageBatch(torch.from_numpy(rows), torch.from_numpy(np.ascontiguousarray(found)))


def collate(images: list[Tensor]) -> Tensor | list[Tensor]:
    """One ``[B, C, H, W]`` where all are of one size. Floats among them make all of them floats in [0, 1]."""
    if len({image.dtype for image in images}) > 1:
        images = [image.float().div_(255) if image.dtype == torch.uint8 else image for image in images]
    return torch.stack(images) if len({image.shape for image in images}) == 1 else images
