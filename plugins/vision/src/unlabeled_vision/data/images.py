"""A user's images: a folder, a zip or an ``.npz``, in natural order of their names; a list of paths or a manifest.

# N samples of the data set, B of a batch, C channels, H height, W width
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.about import about
from unlabeled.data.cache import Cache
from unlabeled.data.known import Described, Known
from unlabeled.data.manifest import Columns, Manifest, is_table, read_manifest, refuse_columns
from unlabeled.data.readable import Readable, SampleError, scan
from unlabeled.data.sides import by_folder
from unlabeled.data.sources import Folder, passed_over, read
from unlabeled.errors import at_least
from unlabeled_vision.batch import ImageBatch, ImageSpec, collate
from unlabeled_vision.data.arrays import read_arrays
from unlabeled_vision.data.reading import MODES, Header, decode, quiet, read_header
from unlabeled_vision.data.sources import LIMITS, open_source, wanting

PATHS = ("path", "image", "file", "filename", "image_path", "file_name", "img", "filepath")  # columns of a manifest


class Images(Described, Readable):
    """Images of a user: a folder (also with ``train`` and ``test``), a ``.zip``, an ``.npz``, a ``.txt`` of paths, or a
    manifest (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``) with a column ``path`` (or image, file) and, where it has
    them, label, labels, target, group, fold and split.

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
        megapixels: million pixels of the largest image that is read; 0 = no limit.
        cache: MiB of decoded images kept in memory, where all are of one size and fit; 0 = none.
    """

    samples = "images"
    none_left = "none of the {count:,} images can be decoded; the last: {reason}"

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
        megapixels: float = 90.0,
        cache: int = 512,
        **columns: Unpack[Columns],
    ) -> None:
        at_least(0, megapixels=megapixels)
        if size < 0 or cache < 0 or white < 1:
            raise ValueError(f"size {size}, cache {cache} and white {white}: none can be negative, and white not 0")
        if shrink and shrink < 1:
            raise ValueError(f"shrink is {shrink}; it must be 0 or at least 1")
        if channels not in (0, *MODES):
            raise ValueError(f"channels is {channels}; it must be 0 (the data's own) or 1 to 4")
        where = Path(path)
        reader: _Files | _Arrays
        manifest = read_manifest(where, PATHS, columns) if is_table(where) else None
        if manifest is None:
            refuse_columns(where, columns)
        if where.suffix.lower() == ".npz" and where.is_file():
            reader = _Arrays(where, channels, white)
        else:
            reader = _Files(where, manifest, channels, white, megapixels, cache)
        self._reader = reader
        self._open(where, reader.bad, reader.total, max_bad)
        reader.known.onto(self)
        self.spec = ImageSpec(reader.channels, size or reader.side, mean, std, mirror)
        reader.least = round(shrink * self.spec.size)

    def __len__(self) -> int:
        return len(self._reader)

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        """Samples ``indices``. Those that cannot be decoded are left out, or stood in for in training."""
        ready = self._reader.ready(indices)
        if ready is not None:
            return ready
        with quiet():
            found, bad = self._found(indices)
        ids = torch.tensor([number for number, _ in found], dtype=torch.int64)
        return ImageBatch(ids, collate([image for _, image in found]), tuple(bad.items()))

    def _title(self, number: int) -> str:
        return self._reader.names[number]

    def _load(self, number: int) -> Tensor:
        assert isinstance(self._reader, _Files), "arrays are always at hand"
        return self._reader.image(number)

    def describe(self) -> str:
        found = [f"{len(self):,} images", *about(self)]
        found += [f"{self.spec.channels} channel{'s' * (self.spec.channels > 1)}", self._reader.extent]
        if self.bad:
            found.append(f"{len(self.bad):,} unreadable skipped")
        found += passed_over(self._reader.others)
        return f"{self._path}: {', '.join(found)}"


class _Files:
    """Samples in files, each decoded when it is asked for, or once where the cache can hold all."""

    def __init__(
        self, path: Path, manifest: Manifest | None, channels: int, white: int, most: float, cache: int
    ) -> None:
        self._most = most
        self._source = Folder(path.parent, limits=LIMITS, names=manifest.paths) if manifest else open_source(path)
        names, self.others = self._source.names, self._source.others
        with quiet():
            good, bad = scan(list(dict.fromkeys(names)), self._look)
        headers, self.bad = dict(good), dict(bad)
        rows = [row for row, name in enumerate(names) if name in headers]
        self.names, self.total = [names[row] for row in rows], len(names)
        self.least = 0
        self._white = white
        self.channels = channels or (1 if all(h.gray for h in headers.values()) else 3)
        found = by_folder(self.names)
        self.known = manifest.known(rows) if manifest else Known.by_name(found.classes, found.sides)
        self.side, self.extent = _extent(Counter((h.height, h.width) for h in headers.values()))
        if several := [h.pages for h in headers.values() if h.pages > 1]:
            self.extent += f", only the first page of {len(several):,} with {sum(several):,} pages or frames"
        sizes = {(self.channels, h.height, h.width) for h in headers.values()}
        self._shape = sizes.pop() if len(sizes) == 1 and not any(h.deep for h in headers.values()) else (0, 0, 0)
        self._cache = Cache.fitting([math.prod(self._shape)] * len(self), torch.uint8, cache)

    def __len__(self) -> int:
        return len(self.names)

    def _look(self, name: str) -> Header:
        with self._source.open(name) as file:
            if reason := wanting(name):
                raise SampleError(reason)
            return read_header(file, self._most)

    def ready(self, indices: Sequence[int]) -> ImageBatch | None:
        """The batch, where all of it is in the cache."""
        ids = torch.as_tensor(indices, dtype=torch.int64)
        if self._cache is None or not bool(self._cache.ready[ids].all()):
            return None
        return ImageBatch(ids, self._cache.values.view(-1, *self._shape)[ids])

    def image(self, number: int) -> Tensor:
        """``[C, H, W]``, decoded unless the cache has it."""

        def load() -> Tensor:
            data, most = read(self._source, self.names[number]), self._most
            return decode(data, self.channels, least=self.least, white=self._white, most=most)

        if self._cache is None:
            return load()
        found = self._cache.one(number, load)
        return found.view(self._shape) if found.dim() == 1 else found  # smaller where its file was reduced

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": None}  # a spawned worker cannot share this memory, so it decodes


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
        self._x, labels, classes = read_arrays(path, channels)
        self.known = Known(labels=labels, classes=classes)
        self.channels = self._x.shape[1]
        self._white = white if self._x.dtype == np.uint16 else 1
        self.bad: dict[str, str] = {}
        self.others: list[str] = []
        self.names, self.total = [f"row {number}" for number in range(len(self._x))], len(self._x)
        self.least = 0
        self.side, self.extent = _extent(Counter([self._x.shape[2:]]))

    def __len__(self) -> int:
        return len(self._x)

    def ready(self, indices: Sequence[int]) -> ImageBatch | None:
        """The batch: all is in memory."""
        rows = np.asarray(indices, dtype=np.int64)
        found = self._x[rows]
        if found.dtype != np.uint8:
            found = np.clip(found.astype(np.float32) / np.float32(self._white), 0, 1)
        return ImageBatch(torch.from_numpy(rows), torch.from_numpy(np.ascontiguousarray(found)))
