"""Where image files come from: a folder, a zip archive, or a text file of paths; their order, and labels by folder.

Nothing is decoded here. Files are in natural order (``2.png`` before ``10.png``), a text file's in its own. Hidden
files and ``__MACOSX`` are passed over; symbolic links are followed.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from unlabeled.data.files import Zip, visible, walk
from unlabeled.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
HELD_OUT = ("test", "val", "valid", "validation")
MAX_BYTES = 1 << 30  # of one file; no image that this project can use is larger
MAX_RATIO = 1100  # deflate cannot do better than 1032, so a higher claim is a lie


class FileError(Exception):
    """One file that cannot be read, with the reason."""


class Folder:
    """Image files under ``root``, by their relative names; ``names`` gives them where a list does."""

    def __init__(self, root: Path, names: Sequence[str] | None = None) -> None:
        self.root = root
        self.names = list(names) if names is not None else walk(root, is_image)

    def open(self, name: str) -> BinaryIO:
        path = self.root / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise FileError("not a file")
            _check_size(status.st_size)
            return path.open("rb")
        except OSError as error:
            raise FileError((error.strerror or str(error)).lower()) from error


class Archive(Zip):
    """Image members of a zip file. Nothing is ever written to disk, so a member's path cannot do harm."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = self.members(is_image)

    def open(self, name: str) -> BinaryIO:
        info = self.file.getinfo(name)
        _check_size(info.file_size)
        if info.file_size > MAX_RATIO * max(1, info.compress_size):
            raise FileError(f"claims {info.file_size} bytes from {info.compress_size}: a decompression bomb")
        if info.flag_bits & 1:
            raise FileError("encrypted")
        try:
            return cast(BinaryIO, self.file.open(info))
        except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise FileError(f"damaged in the archive: {error}") from error


Source = Folder | Archive


def read(source: Source, name: str) -> bytes:
    """All bytes of one file; :class:`FileError` where that cannot be."""
    try:
        with source.open(name) as file:
            return file.read()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise FileError(f"cannot be read: {error}") from error


def _check_size(size: int) -> None:
    if size == 0:
        raise FileError("empty file")
    if size > MAX_BYTES:
        raise FileError(f"{size >> 20} MiB, and {MAX_BYTES >> 20} are the most")


def open_source(path: Path) -> Source:
    """The image files at ``path``; :class:`UsageError` where there can be none."""
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    source: Source
    if path.is_dir():
        source = Folder(path)
    elif path.suffix.lower() == ".zip":
        source = Archive(path)
    elif path.suffix.lower() in (".txt", ".lst"):
        source = Folder(path.parent, _lines(path))
    else:
        raise UsageError(f"{path} is no image data: give a folder, a .zip, an .npz, or a .txt of paths")
    if not source.names:
        raise UsageError(f"{path} has no images; these are read: {', '.join(s[1:] for s in SUFFIXES)}")
    return source


def is_image(name: str) -> bool:
    """Whether the name ends as an image's does and no part of it is hidden."""
    return visible(name) and name.lower().endswith(SUFFIXES)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} is no text file of paths: {error}") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def by_folder(names: Sequence[str]) -> tuple[list[str | None], list[bool] | None]:
    """The class of each file, and whether it is held out (None where no folder says so).

    Folders that all files share are passed over. ``train`` beside ``test`` (or ``val``, ``valid``, ``validation``)
    splits; the next folder is the class, None for a file that lies in none. One class tells nothing: all are None.
    """
    parts = [PurePosixPath(n.replace("\\", "/")).parts for n in names]
    while parts and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    tops = {p[0].casefold() for p in parts if len(p) > 1}
    test = None
    if "train" in tops and tops & set(HELD_OUT) and tops <= {"train", *HELD_OUT} and all(len(p) > 1 for p in parts):
        test = [p[0].casefold() != "train" for p in parts]
        parts = [p[1:] for p in parts]
    classes = [p[0] if len(p) > 1 else None for p in parts]
    return (classes, test) if len({c for c in classes if c is not None}) > 1 else ([None] * len(names), test)
