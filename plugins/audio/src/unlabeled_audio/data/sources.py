"""Files of sound in a folder, a zip archive or a manifest CSV: their order, labels, speakers and stretches.

Nothing is decoded here. Files are in natural order (``2.wav`` before ``10.wav``), a manifest's in its own. A manifest
names ``path`` (or file), and where it has them ``start`` and ``end`` (or ``duration``) in seconds, ``label``,
``speaker`` and ``split``; ``SPELLINGS`` has other words for the times, and columns that count samples are refused. Its
paths are looked for in its own folder, then in the zip files of that folder.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from unlabeled.data import sources
from unlabeled.data.files import text_of, visible
from unlabeled.data.readable import SampleError
from unlabeled.data.sides import Side, by_folder, side_of
from unlabeled.data.sources import Archive, Folder, Limits
from unlabeled.errors import UsageError, near

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au")
FOREIGN = (".m4a", ".aac", ".wma", ".webm", ".mp4", ".amr", ".ac3", ".mka")  # sound that libsndfile does not read
MANIFESTS = (".csv", ".tsv")
LIMITS = Limits(whole=64 << 20)
PATHS = ("path", "file", "filename", "audio", "wav")
LABELS = ("label", "class", "category", "target")
SPELLINGS = {
    "start": ("start", "begin", "onset", "offset"),
    "end": ("end", "stop"),
    "duration": ("duration", "dur"),
}
TAILS = ("", "_time", "_seconds", "_sec", "_s", "time", "_in_seconds")
AGREE = 0.02  # seconds by which a rounded end and duration may differ
COUNTED = ("sample", "samples", "frame", "frames")
SPEAKERS = ("speaker", "speaker_id", "spk", "voice")


@dataclass(frozen=True)
class Entry:
    """One row of a data set: a file, or the stretch of it from ``start`` to ``end`` seconds."""

    name: str
    start: float = 0.0
    end: float | None = None
    label: str | None = None
    speaker: str | None = None
    side: Side | None = None


class Several:
    """A folder, and the zip files in it, for a manifest."""

    others = ()  # a manifest names all that it means

    def __init__(self, root: Path, wanted: Sequence[str]) -> None:
        self.parts: list[Folder | Archive] = [Folder(root)]
        if not all((root / name).is_file() for name in wanted[:16]):
            self.parts += [Archive(path, is_audio, LIMITS) for path in sorted(root.glob("*.zip"))]

    def _with(self, name: str) -> Folder | Archive:
        part = next((p for p in self.parts if p.has(name)), None)
        if part is None:
            raise SampleError("no such file")
        return part

    def open(self, name: str) -> BinaryIO:
        return self._with(name).open(name)

    def size(self, name: str) -> int:
        return self._with(name).size(name)


Source = Folder | Archive | Several


def open_source(path: Path, label: str = "") -> tuple[Source, list[Entry]]:
    """The clips at ``path``; :class:`UsageError` where there can be none. ``label`` is a manifest's column."""
    if path.suffix.lower() in MANIFESTS and path.is_file():
        entries = read_manifest(path, label)
        return Several(path.parent, [e.name for e in entries]), entries
    source = sources.open_source(path, is_audio, LIMITS)
    if source is None:
        raise UsageError(f"{path} is no audio data: give a folder, a .zip, or a manifest .csv with a column path")
    if label:
        raise UsageError(f"{path} is no manifest, so it has no column {label!r}: folders name the classes")
    if not source.names:
        hint = _manifests_in(path)
        raise UsageError(f"{path} has no audio files ({', '.join(s[1:] for s in SUFFIXES)}){hint}")
    found = by_folder(source.names)
    return source, [Entry(n, label=c, side=s) for n, c, s in zip(source.names, found.classes, found.sides, strict=True)]


def _manifests_in(path: Path) -> str:
    found = sorted(p.name for p in path.glob("*.csv")) if path.is_dir() else []
    return f"; it has {', '.join(found)}: give that as --data {path / found[0]}" if found else ""


# ---------------------------------------------------------------------------------------------- manifests


def read_manifest(path: Path, label: str = "") -> list[Entry]:
    """The rows of a manifest; :class:`UsageError` names the line that is wrong."""
    reader = csv.DictReader(io.StringIO(text_of(path)), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    columns = {name.strip().casefold(): name for name in reader.fieldnames or () if name}
    named = next((columns[c] for c in PATHS if c in columns), None)
    if named is None:
        raise UsageError(f"{path} has columns {', '.join(columns) or 'none'}; one must be called path (or file)")
    if label and label.casefold() not in columns:
        raise UsageError(f"{path} has no column {label!r}.{near(label, columns)}")
    classes = columns[label.casefold()] if label else next((columns[c] for c in LABELS if c in columns), None)
    speakers = next((columns[c] for c in SPEAKERS if c in columns), None)
    times = _time_columns(path, columns)
    try:
        rows = list(enumerate(reader, start=2))
    except csv.Error as error:
        raise UsageError(f"{path} is no valid CSV: {error}") from error
    entries = [_entry(path, line, row, columns, named, classes, speakers, times) for line, row in rows]
    if not entries:
        raise UsageError(f"{path} names no clips")
    return entries


def _time_columns(path: Path, columns: dict[str, str]) -> dict[str, str]:
    """The columns of start, end and duration, as the manifest spells them; ``onset, offset`` are start and end."""
    counted = [c for c in columns if _is_counted(c)]
    if counted:
        raise UsageError(
            f"{path} has the column {counted[0]}, in samples; give start and end in seconds (samples / rate) instead"
        )
    spellings = dict(SPELLINGS)
    if any("onset" + tail in columns for tail in TAILS):
        spellings |= {"start": ("start", "begin", "onset"), "end": ("end", "stop", "offset")}
    found = {}
    for what, names in spellings.items():
        said = [n + tail for n in names for tail in TAILS if n + tail in columns]
        if len(said) > 1:
            raise UsageError(f"{path} has columns {', '.join(said)}, all of them the {what}: keep one")
        if said:
            found[what] = columns[said[0]]
    return found


def _is_counted(column: str) -> bool:
    """Whether it places or measures a stretch in samples: num_frames, start_sample, frame_offset."""
    words = column.replace("-", "_").split("_")
    places = {"num", "n", "duration", *SPELLINGS["start"], *SPELLINGS["end"]}
    return len(words) > 1 and any(w in COUNTED for w in words) and any(w in places for w in words)


def _entry(
    path: Path,
    line: int,
    row: dict[str, Any],
    columns: dict[str, str],
    named: str,
    classes: str | None,
    speakers: str | None,
    times: dict[str, str],
) -> Entry:
    def text(column: str | None) -> str | None:
        value = row.get(column) if column else None
        return value.strip() if value and value.strip() else None

    def seconds(what: str) -> float | None:
        value = text(times.get(what))
        try:
            found = None if value is None else float(value)
        except ValueError:
            found = math.nan
        if found is not None and not math.isfinite(found):
            raise UsageError(f"{path}, line {line}: {times[what]} is {value!r}; it must be seconds")
        return found

    if extra := row.get(None):  # type: ignore[call-overload]
        raise UsageError(f"{path}, line {line} has {len(extra)} fields more than the header; quote delimiters")
    name = text(named)
    if name is None:
        raise UsageError(f"{path}, line {line} names no file")
    start, end, duration = seconds("start") or 0.0, seconds("end"), seconds("duration")
    if end is not None and duration is not None and abs(start + duration - end) > AGREE:
        raise UsageError(
            f"{path}, line {line}: from {start:g} s to {end:g} s are not {duration:g} s; "
            f"keep one of the columns {times['end']} and {times['duration']}"
        )
    if end is None and duration is not None:
        end = start + duration
    if start < 0 or (end is not None and not end > start):
        raise UsageError(f"{path}, line {line}: from {start} s to {end} s is no stretch of a file")
    return Entry(name, start, end, text(classes), text(speakers), side_of(text(columns.get("split")) or ""))


# ---------------------------------------------------------------------------------------------- names


def is_audio(name: str) -> bool:
    """Whether the name ends as an audio file's does and no part of it is hidden.

    Codecs that cannot be read count: such files are named and counted, where they would be missed without a word.
    """
    return visible(name) and name.lower().endswith(SUFFIXES + FOREIGN)
