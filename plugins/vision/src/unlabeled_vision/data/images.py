"""A user's images: a folder, a zip, an ``.npz`` or a list of paths.

Samples are numbered in natural order of their names. A file that cannot be read never stops a run by itself: it is
found by its header when the data set is opened, or when it is decoded, named once with the reason, and counted; only a
share above ``max_bad`` stops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.files import check_bad
from unlabeled.errors import UsageError
from unlabeled_vision.batch import ImageBatch, ImageSpec, collate
from unlabeled_vision.data.arrays import read_arrays
from unlabeled_vision.data.cache import Cache
from unlabeled_vision.data.reading import MODES, Header, decode, quiet, read_header
from unlabeled_vision.data.sources import FileError, Source, by_folder, open_source, read


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
