"""Folders and archives: natural order of names, hidden files passed over, zip files, bad samples counted.

Nothing is decoded here and nothing is written. No torch.
"""

import codecs
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from unlabeled.errors import UsageError

SHOWN = 5  # bad samples that a message names
FEW = 10  # bad samples that are never too many, unless they are all


def natural(names: Iterable[str]) -> list[str]:
    """Names sorted as people count: digits as numbers, case ignored, ties by the name itself."""

    def key(name: str) -> tuple[Any, ...]:
        parts = re.split(r"([0-9]+)", name.replace("\\", "/").casefold())
        # a number by its digits without leading zeros: int() refuses 4,301 of them
        return [(len(n := p.lstrip("0")), n) if p.isdecimal() else (-1, p) for p in parts], name

    return sorted(names, key=key)


def visible(name: str) -> bool:
    """Whether no part of a relative name is hidden (``.git``, ``__MACOSX``)."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    hidden = any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)
    return bool(parts) and not hidden


def text_of(path: Path, what: str = "text file") -> str:
    """All of a text file in UTF-8, with or without a byte order mark; :class:`UsageError` says what it is instead."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path} is no {what}: a pipe or a device, and no file")  # which would be waited for
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} is no {what}: {(error.strerror or str(error)).lower()}") from error
    if reason := no_text(data):
        raise UsageError(f"{path} is no {what}: {reason}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no {what}: byte {error.start} is not valid UTF-8 ({error.reason})") from error


def no_text(head: bytes) -> str:
    """Why the bytes at the head of a file are no text in UTF-8; empty where they may be."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16; save it as UTF-8"
    return "binary data: it has NUL bytes" if b"\x00" in head else ""


def walk(root: Path, keep: Callable[[str], bool] = visible) -> list[str]:
    """Relative names of the files below ``root`` that ``keep`` takes, in natural order; symbolic links are followed."""
    found, seen = [], set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above would go round for ever
            below.clear()
            continue
        seen.add(real)
        inner = Path(folder).relative_to(root).as_posix()
        found += [name for name in (f if inner == "." else f"{inner}/{f}" for f in files) if keep(name)]
    return natural(found)


class Zip:
    """A zip file to read from, which each process opens for itself; a base of a plugin's archives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None

    @property
    def file(self) -> zipfile.ZipFile:
        """The open archive; :class:`UsageError` where it is none."""
        # a forked worker shares the parent's file position
        if self._open is None or self._open[0] != os.getpid():
            if self.path.exists() and not self.path.is_file():  # to open a pipe would wait for ever
                raise UsageError(f"{self.path} cannot be read as a zip file: it is no regular file")
            try:
                self._open = os.getpid(), zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError) as error:
                raise UsageError(f"{self.path} cannot be read as a zip file: {error}") from error
        return self._open[1]

    def members(self, keep: Callable[[str], bool] = visible) -> list[str]:
        """Names of the files in it that ``keep`` takes, in natural order."""
        return natural(m.filename for m in self.file.infolist() if not m.is_dir() and keep(m.filename))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": None}


def check_bad(where: Path | str, bad: Mapping[str, str], total: int, most: float, what: str = "samples") -> None:
    """:class:`UsageError` where too many of ``total`` samples are bad (:func:`too_many`), or all of them.

    Args:
        where: the data, as the user named it.
        bad: the reason for each bad sample, by its name.
        total: number of samples, bad ones included.
        most: the share that is allowed (``--max-bad``).
        what: samples in the plural, as the user calls them.
    """
    if not too_many(len(bad), total, most):
        return
    first = "".join(f"\n  {name}: {reason}" for name, reason in list(bad.items())[:SHOWN])
    more = f"\n  and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    raise UsageError(
        f"{where}: {len(bad):,} of {total:,} {what} cannot be read ({len(bad) / total:.1%}, and --max-bad allows "
        f"{allowed(total, most)}):{first}{more}"
    )


def too_many(bad: int, total: int, most: float) -> bool:
    """Whether ``bad`` of ``total`` are above the share ``most`` and above FEW, or all; a share of 0 allows none."""
    return bad > 0 and (bad == total or bad > max(most * total, FEW if most else 0))


def allowed(total: int, most: float) -> str:
    """What ``--max-bad`` allows, in words."""
    return f"{most:.1%}" if not most or most * total >= FEW else f"{most:.1%} or {FEW}, and never all"
