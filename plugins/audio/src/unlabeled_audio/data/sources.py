"""Where clips come from: a folder, a zip archive, or a manifest CSV; their order, labels, speakers and stretches.

Nothing is decoded here. Files are in natural order (``2.wav`` before ``10.wav``), a manifest's in its own. A manifest
names ``path`` (or file), and where it has them ``start`` and ``end`` in seconds, ``label``, ``speaker`` and ``split``;
its paths are looked for in its own folder, then in the zip files of that folder.
"""

from __future__ import annotations

import csv
import io
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from unlabeled.data.files import Zip, visible, walk
from unlabeled.errors import UsageError, near

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au")
FOREIGN = (".m4a", ".aac", ".wma", ".webm", ".mp4", ".amr", ".ac3", ".mka")  # sound that libsndfile does not read
HELD_OUT = ("test", "val", "valid", "validation", "dev", "eval")
MANIFESTS = (".csv", ".tsv")
IN_MEMORY = 64 << 20  # bytes of an archive's member that are unpacked at once; larger ones are read as a stream
PATHS = ("path", "file", "filename", "audio", "wav")
LABELS = ("label", "class", "category", "target")
SPEAKERS = ("speaker", "speaker_id", "spk", "voice")


class FileError(Exception):
    """One file that cannot be read, with the reason."""


@dataclass(frozen=True)
class Entry:
    """One row of a data set: a file, or the stretch of it from ``start`` to ``end`` seconds."""

    name: str
    start: float = 0.0
    end: float | None = None
    label: str | None = None
    speaker: str | None = None
    test: bool | None = None


class Folder:
    """Files under ``root``, by their relative names."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        return walk(self.root, is_audio)

    def has(self, name: str) -> bool:
        return (self.root / name).is_file()

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """The file and its size in bytes."""
        path = self.root / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise FileError("not a file")
            if status.st_size == 0:
                raise FileError("empty file")
            return path.open("rb"), status.st_size
        except OSError as error:
            raise FileError((error.strerror or str(error)).lower()) from error


class Archive(Zip):
    """Members of a zip file. Nothing is ever written to disk, so a member's path cannot do harm."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._names = self.members(is_audio)
        self._known = set(self._names)

    def names(self) -> list[str]:
        return self._names

    def has(self, name: str) -> bool:
        return name in self._known

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """The member and its size in bytes; a large one is unpacked as it is read."""
        try:
            info = self.file.getinfo(name)
            if info.file_size == 0:
                raise FileError("empty file")
            if info.flag_bits & 1:
                raise FileError("encrypted")
            if info.file_size > IN_MEMORY:
                return cast(BinaryIO, self.file.open(info)), info.file_size
            return io.BytesIO(self.file.read(info)), info.file_size
        except (zipfile.BadZipFile, NotImplementedError, OSError, KeyError, EOFError) as error:
            raise FileError(f"damaged in the archive: {error}") from error


class Several:
    """A folder, and the zip files in it, for a manifest."""

    def __init__(self, root: Path, wanted: Sequence[str]) -> None:
        self.parts: list[Folder | Archive] = [Folder(root)]
        if not all((root / name).is_file() for name in wanted[:16]):
            self.parts += [Archive(path) for path in sorted(root.glob("*.zip"))]

    def open(self, name: str) -> tuple[BinaryIO, int]:
        part = next((p for p in self.parts if p.has(name)), None)
        if part is None:
            raise FileError("no such file")
        return part.open(name)


Source = Folder | Archive | Several


def open_source(path: Path, label: str = "") -> tuple[Source, list[Entry]]:
    """The clips at ``path``; :class:`UsageError` where there can be none. ``label`` is a manifest's column."""
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.suffix.lower() in MANIFESTS and path.is_file():
        entries = read_manifest(path, label)
        return Several(path.parent, [e.name for e in entries]), entries
    source: Folder | Archive
    if path.is_dir():
        source = Folder(path)
    elif path.suffix.lower() == ".zip":
        source = Archive(path)
    else:
        raise UsageError(f"{path} is no audio data: give a folder, a .zip, or a manifest .csv with a column path")
    if label:
        raise UsageError(f"{path} is no manifest, so it has no column {label!r}: folders name the classes")
    names = source.names()
    if not names:
        hint = _manifests_in(path)
        raise UsageError(f"{path} has no audio files ({', '.join(s[1:] for s in SUFFIXES)}){hint}")
    return source, [Entry(n, label=c, test=t) for n, c, t in zip(names, *by_folder(names), strict=True)]


def _manifests_in(path: Path) -> str:
    found = sorted(p.name for p in path.glob("*.csv")) if path.is_dir() else []
    return f"; it has {', '.join(found)}: give that as --data {path / found[0]}" if found else ""


# ---------------------------------------------------------------------------------------------- manifests


def read_manifest(path: Path, label: str = "") -> list[Entry]:
    """The rows of a manifest; :class:`UsageError` names the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} is no text file: {error}") from error
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    columns = {name.strip().casefold(): name for name in reader.fieldnames or () if name}
    named = next((columns[c] for c in PATHS if c in columns), None)
    if named is None:
        raise UsageError(f"{path} has columns {', '.join(columns) or 'none'}; one must be called path (or file)")
    if label and label.casefold() not in columns:
        raise UsageError(f"{path} has no column {label!r}.{near(label, columns)}")
    classes = columns[label.casefold()] if label else next((columns[c] for c in LABELS if c in columns), None)
    speakers = next((columns[c] for c in SPEAKERS if c in columns), None)
    try:
        rows = list(enumerate(reader, start=2))
    except csv.Error as error:
        raise UsageError(f"{path} is no valid CSV: {error}") from error
    entries = [_entry(path, line, row, columns, named, classes, speakers) for line, row in rows]
    if not entries:
        raise UsageError(f"{path} names no clips")
    return entries


def _entry(
    path: Path,
    line: int,
    row: dict[str, Any],
    columns: dict[str, str],
    named: str,
    classes: str | None,
    speakers: str | None,
) -> Entry:
    def text(column: str | None) -> str | None:
        value = row.get(column) if column else None
        return value.strip() if value and value.strip() else None

    def seconds(name: str) -> float | None:
        value = text(columns.get(name))
        try:
            return None if value is None else float(value)
        except ValueError as error:
            raise UsageError(f"{path}, line {line}: {name} is {value!r}; it must be seconds") from error

    name = text(named)
    if name is None:
        raise UsageError(f"{path}, line {line} names no file")
    start, end = seconds("start") or 0.0, seconds("end")
    if start < 0 or (end is not None and not end > start):
        raise UsageError(f"{path}, line {line}: from {start} s to {end} s is no stretch of a file")
    split = text(columns.get("split"))
    test = None if split is None else split.casefold() in HELD_OUT
    return Entry(name, start, end, text(classes), text(speakers), test)


# ---------------------------------------------------------------------------------------------- names


def is_audio(name: str) -> bool:
    """Whether the name ends as an audio file's does and no part of it is hidden.

    Codecs that cannot be read count: such files are named and counted, where they would be missed without a word.
    """
    return visible(name) and name.lower().endswith(SUFFIXES + FOREIGN)


def by_folder(names: Sequence[str]) -> tuple[list[str | None], list[bool | None]]:
    """The class of each file, and whether it is held out (None where no folder says so).

    Folders that all files share are passed over. ``train`` beside ``test`` (or ``val``, ``dev``, ...) splits; the next
    folder is the class. One class tells nothing: all are None.
    """
    parts = [PurePosixPath(n.replace("\\", "/")).parts for n in names]
    while parts and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    tops = {p[0].casefold() for p in parts if len(p) > 1}
    test: list[bool | None] = [None] * len(names)
    if "train" in tops and tops & set(HELD_OUT) and tops <= {"train", *HELD_OUT} and all(len(p) > 1 for p in parts):
        test = [p[0].casefold() != "train" for p in parts]
        parts = [p[1:] for p in parts]
    classes = [p[0] if len(p) > 1 else None for p in parts]
    return (classes if len({c for c in classes if c is not None}) > 1 else [None] * len(names)), test
