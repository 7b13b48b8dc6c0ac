"""Files in a folder or a zip archive, and what the names of their folders say.

Nothing is decoded here, and nothing is ever written to disk, so a member's path cannot do harm. Files are in natural
order (``2`` before ``10``). Hidden files and ``__MACOSX`` are passed over; symbolic links are followed.
"""

import io
import math
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from unlabeled.data.files import SHOWN, Zip, visible, walk
from unlabeled.data.readable import SampleError
from unlabeled.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What a file may be.

    Args:
        least: bytes.
        most: bytes.
        ratio: of the bytes of an archive's member to those that it takes there, at most.
        whole: bytes up to which a member is unpacked at once: to seek in one that is unpacked as it is read is slow.
    """

    least: int = 1
    most: int = 1 << 62
    ratio: float = math.inf
    whole: int = 0

    def check(self, size: int) -> None:
        """:class:`SampleError` for a file of another size."""
        if size < self.least:
            raise SampleError("empty file")
        if size > self.most:
            raise SampleError(f"{size >> 20} MiB, and {self.most >> 20} are the most")


class Folder:
    """Files under ``root`` that ``keep`` takes, by their relative names; or just ``names``, in their own order."""

    def __init__(
        self,
        root: Path,
        keep: Callable[[str], bool] = visible,
        limits: Limits = Limits(),
        names: Sequence[str] | None = None,
    ) -> None:
        self.root, self.keep, self.limits = root, keep, limits
        if names is not None:
            self.names, self.others = list(names), []

    @cached_property
    def _all(self) -> list[str]:
        return walk(self.root)

    @cached_property
    def names(self) -> list[str]:
        """Every file that is read, in natural order."""
        return [name for name in self._all if self.keep(name)]

    @cached_property
    def others(self) -> list[str]:
        """Files of other kinds."""
        return [name for name in self._all if not self.keep(name)]

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).is_file()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self.root / name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        """A file, open; :class:`SampleError` where that cannot be."""
        path = self.root / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise SampleError("not a file")
            self.limits.check(status.st_size)
            return path.open("rb")
        except OSError as error:
            raise SampleError((error.strerror or str(error)).lower()) from error

    def stamp(self, name: str) -> str:
        """What changes when the file does, without reading it."""
        found = (self.root / name).stat()
        return f"{(self.root / name).resolve()}|{found.st_size}|{found.st_mtime_ns}|{found.st_ctime_ns}"


class Archive(Zip):
    """Members of a zip file that ``keep`` takes, by their names."""

    def __init__(self, path: Path, keep: Callable[[str], bool] = visible, limits: Limits = Limits()) -> None:
        super().__init__(path)
        self.limits = limits
        self.names = self.members(keep)
        self.others = [name for name in self.members() if not keep(name)]
        self._known = frozenset(self.names)

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._known

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked."""
        return self.file.getinfo(name).file_size

    def open(self, name: str) -> BinaryIO:
        """A member, open; :class:`SampleError` where that cannot be."""
        try:
            info = self.file.getinfo(name)
            self.limits.check(info.file_size)
            if info.file_size > self.limits.ratio * max(1, info.compress_size):
                raise SampleError(f"claims {info.file_size} bytes from {info.compress_size}: a decompression bomb")
            if info.flag_bits & 1:
                raise SampleError("encrypted")
            file = cast(BinaryIO, self.file.open(info))
            if info.file_size > self.limits.whole:
                return file
            with file:
                return io.BytesIO(file.read())
        except (zipfile.BadZipFile, zlib.error, KeyError, RuntimeError, EOFError, OSError) as error:
            raise SampleError(f"damaged in the archive: {error}") from error

    def stamp(self, name: str) -> str:
        """What changes when the member does: its checksum stands in the archive."""
        info, found = self.file.getinfo(name), self.path.stat()
        return f"{self.path.resolve()}|{found.st_mtime_ns}|{name}|{info.CRC}|{info.file_size}"


Source = Folder | Archive


def passed_over(others: Sequence[str]) -> list[str]:
    """How many files of other kinds lie beside those that are read, by suffix; nothing where there are none."""
    kinds = Counter(PurePosixPath(name).suffix.casefold() or "no suffix" for name in others)
    if not kinds:
        return []
    first = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(SHOWN))
    count = len(others)
    return [f"{count:,} file{'s' * (count > 1)} of other kinds not read ({first}{', ...' * (len(kinds) > SHOWN)})"]


def open_source(path: Path, keep: Callable[[str], bool] = visible, limits: Limits = Limits()) -> Source | None:
    """The folder or zip at ``path``, None for any other file; :class:`UsageError` where nothing is."""
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.is_dir():
        return Folder(path, keep, limits)
    return Archive(path, keep, limits) if path.suffix.lower() == ".zip" else None


def read(source: Source, name: str) -> bytes:
    """All bytes of one file; :class:`SampleError` where that cannot be."""
    try:
        with source.open(name) as file:
            return file.read()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise SampleError(f"cannot be read: {error}") from error
