"""Files of sound in a folder, in a zip archive, or as a manifest names them.

Paths of a manifest are looked for in its own folder, then in the zip files of that folder.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from unlabeled.data import sources, tables
from unlabeled.data.files import visible
from unlabeled.data.readable import SampleError
from unlabeled.data.sources import Archive, Folder, Limits
from unlabeled.errors import UsageError

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au")
FOREIGN = (".m4a", ".aac", ".wma", ".webm", ".mp4", ".amr", ".ac3", ".mka")  # sound that libsndfile does not read
LIMITS = Limits(ratio=1100, whole=64 << 20)  # deflate cannot do better than 1032, so a higher claim is a lie


class Listed:
    """The files ``names``: in the folder ``root``, or else in a zip file that lies in it."""

    others = ()  # a manifest names all that it means

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.names = list(names)
        self._folder = Folder(root, limits=LIMITS, names=names)

    @cached_property
    def _archives(self) -> list[Archive]:
        return [Archive(path, is_audio, LIMITS) for path in sorted(self._folder.root.glob("*.zip"))]

    def _with(self, name: str) -> Folder | Archive:
        if self._folder.has(name):
            return self._folder
        part = next((archive for archive in self._archives if archive.has(name)), None)
        if part is None:
            raise SampleError("no such file")
        return part

    def open(self, name: str) -> BinaryIO:
        """A file, open; :class:`SampleError` where that cannot be."""
        return self._with(name).open(name)

    def size(self, name: str) -> int:
        """Bytes of a file, unpacked."""
        return self._with(name).size(name)


Source = Folder | Archive | Listed


def open_source(path: Path) -> Folder | Archive:
    """The clips in a folder or an archive; :class:`UsageError` where there can be none."""
    source = sources.open_source(path, is_audio, LIMITS)
    if source is None:
        raise UsageError(
            f"{path} is no audio data: give a folder, a .zip, or a manifest ({', '.join(tables.SUFFIXES)})"
        )
    if not source.names:
        hint = _manifests_in(path)
        raise UsageError(f"{path} has no audio files ({', '.join(s[1:] for s in SUFFIXES)}){hint}")
    return source


def _manifests_in(path: Path) -> str:
    found = sorted(p.name for p in path.iterdir() if tables.is_table(p)) if path.is_dir() else []
    return f"; it has {', '.join(found)}: give that as --data {path / found[0]}" if found else ""


def is_audio(name: str) -> bool:
    """Whether the name ends as an audio file's does and no part of it is hidden.

    Codecs that cannot be read count: such files are named and counted, where they would be missed without a word.
    """
    return visible(name) and name.lower().endswith(SUFFIXES + FOREIGN)
