"""A user's clips: a folder, a zip or a manifest, of which long recordings are several samples each.

Clips are read when they are asked for, mono and at one rate. A recording longer than ``segment`` seconds is cut into
parts, so that an hour is never read whole; views crop within a part.

    # N clips of the data set
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Unpack

from torch import Tensor

from unlabeled.data.about import about
from unlabeled.data.known import Described, Known, numbered
from unlabeled.data.manifest import NONE, Manifest, Stretches, is_table, read_manifest, refuse_columns
from unlabeled.data.readable import Readable, SampleError, scan
from unlabeled.data.sides import by_folder
from unlabeled.data.sources import Folder, passed_over
from unlabeled.data.stretches import Stretch
from unlabeled.errors import within
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.data.reading import SHORTEST, Header, decode, read_header, resampled
from unlabeled_audio.data.sources import Listed, Source, open_source
from unlabeled_audio.data.waves import Waves

BEYOND = 1.0  # seconds that a stretch may end after its file: lengths are rounded
HIGHEST = 16000  # Hz; the default rate is that of most files, and no more than this
PATHS = ("path", "file", "filename", "audio", "wav", "file_name", "filepath", "audio_filepath")  # of a manifest
SPEAKERS = ("speaker", "speaker_id", "spk", "voice")
ENOUGH = 5  # recordings, of which a fifth held out is one


class Clips(Waves, Described, Readable):
    """Recordings of a user: a folder, a ``.zip``, or a manifest (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``), of WAV,
    FLAC, OGG, MP3 at any rate.

    A folder's first level of sub-folders gives the classes. A manifest has a column ``path`` (or file), and may have
    ``start`` and ``end`` (or ``duration``) in seconds, ``speaker``, label, labels, target, group, fold and split.
    Channels are averaged; where they cancel, the loudest is kept.

    Args:
        rate: samples a second that all clips are brought to, in Hz; 0 = that of most files, at most 16,000.
        segment: seconds; a longer recording is cut into equal parts no longer than this, each a sample of its own.
        seconds: length of the longest view; 0 = that of the longest clip, at most 10.
        speaker: a manifest's column of who speaks; empty = speaker, speaker_id, spk or voice, none = not read.
        mels: bands of the mel spectrogram; 0 = 40 below 12 kHz, 64 from there, 80 with fbank.
        window: of a spectrogram's frame, in seconds.
        hop: from frame to frame, in seconds.
        front: spectrogram: logmel, or fbank as Kaldi computes it.
        batching: batches of clips of like lengths: about the same seconds each, or as many clips each; auto = clips
            where the loss is one of clips, seconds where it is one of frames.
        cache: MiB of decoded clips kept in memory, where all fit; 0 = none.
    """

    samples = "clips"
    none_left = "{path}: none of the {count:,} clips can be read; the last: {reason}"

    def __init__(
        self,
        path: str,
        max_bad: float,
        *,
        rate: int = 0,
        segment: float = 30.0,
        seconds: float = 0.0,
        speaker: str = "",
        mels: int = 0,
        window: float = 0.025,
        hop: float = 0.01,
        front: Literal["logmel", "fbank"] = "logmel",
        batching: Literal["auto", "seconds", "clips"] = "auto",
        cache: int = 1024,
        **columns: Unpack[Stretches],
    ) -> None:
        within(0, 384000, rate=rate)
        within(0, 3600, seconds=seconds)
        within(2 * SHORTEST, 3600, segment=segment)
        where = Path(path)
        manifest = read_manifest(where, PATHS, columns, parts=True) if is_table(where) else None
        if manifest is None:
            refuse_columns(where, {"speaker": speaker, **columns})
        self._source: Source = Listed(where.parent, manifest.paths) if manifest else open_source(where)
        rate, parts, bad = self._scan(manifest, segment, rate)
        self._open(where, bad, len(parts) + len(bad), max_bad)
        self._parts = parts
        longest = max(p.length for p in parts) / rate
        mels = mels or (80 if front == "fbank" else 40 if rate < 12000 else 64)
        self.spec = AudioSpec(rate, seconds or max(window, min(10.0, longest)), mels, window, hop, front)
        self._know(manifest, speaker)
        super().__init__([p.length for p in parts], cache, batching)

    def _scan(self, manifest: Manifest | None, segment: float, rate: int) -> tuple[int, list["_Part"], dict[str, str]]:
        """The rate, the parts of all that can be read, and the reason for each row that cannot."""
        names = self._source.names
        # an archive has one position, so its members are read in turn
        good, missing = scan(list(dict.fromkeys(names)), self._look, 4 if isinstance(self._source, Folder) else 1)
        headers, unreadable = dict(good), dict(missing)
        rates = Counter(h.rate for h in headers.values())
        rate = rate or (min(HIGHEST, rates.most_common(1)[0][0]) if rates else HIGHEST)
        parts, bad = list[_Part](), dict[str, str]()
        stretches = (manifest and manifest.stretches) or [Stretch()] * len(names)
        for row, (name, stretch) in enumerate(zip(names, stretches, strict=True)):
            try:
                if name in unreadable:
                    raise SampleError(unreadable[name])
                parts += _cut(row, name, stretch, headers[name], segment, rate)
            except SampleError as error:
                bad[_title(name, stretch.start if stretch != Stretch() else None)] = str(error)
        return rate, parts, bad

    def _look(self, name: str) -> Header:
        with self._source.open(name) as file:
            return read_header(file, self._source.size(name))

    def _know(self, manifest: Manifest | None, speaker: str) -> None:
        """Classes, sides and the like of the parts, and who speaks in them."""
        rows = [p.row for p in self._parts]
        found = by_folder([p.name for p in self._parts])
        known = manifest.known(rows) if manifest else Known.by_name(found.classes, found.sides)
        if known.groups is None and len(rows) > len(set(rows)) >= ENOUGH:
            known = replace(known, groups=tuple(p.name for p in self._parts))  # what one recording was cut into
        known.onto(self)
        spoken = _speakers(manifest, speaker)
        self.speakers, self.voices = numbered([spoken[row] for row in rows] if spoken else [])

    def _wave(self, number: int) -> Tensor:
        part = self._parts[number]
        with self._source.open(part.name) as file:
            return decode(file, self.spec.rate, part.first, part.count)

    def __getitems__(self, indices: Sequence[int]) -> AudioBatch:
        """Clips ``indices``. Those that cannot be read are left out, or stood in for in training."""
        read, bad = self._found(indices)

        def partner(number: int, own: int) -> Tensor:
            other = self._tried(number, bad) or self._first(self._after(number), {own}, bad)
            return self._load(own) if other is None else other[1]

        batch = self._collate(read, partner, getattr(indices, "epoch", 0))
        return replace(batch, bad=tuple(bad.items()))

    def _title(self, number: int) -> str:
        part = self._parts[number]
        return _title(part.name, part.begin)

    def describe(self) -> str:
        hours = sum(self._lengths) / self.spec.rate / 3600
        found = [f"{len(self):,} clips", f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min", *about(self)]
        found += [f"{len(self.voices)} speakers"] if self.voices else []
        found += [f"{self.spec.rate} Hz"]
        found += [f"{len(self.bad):,} unreadable skipped"] if self.bad else []
        found += passed_over(self._source.others)
        return f"{self._path}: {', '.join(found)}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": None}  # a spawned worker cannot share this memory, so it decodes


@dataclass(frozen=True, slots=True)
class _Part:
    """``first`` and ``count`` in samples of the file, ``length`` in samples of the data set's rate.

    ``row`` of the manifest, or number of the file; ``begin`` in seconds, where it is not the whole file.
    """

    row: int
    name: str
    first: int
    count: int
    length: int
    begin: float | None = None


def _title(name: str, begin: float | None) -> str:
    return name if begin is None else f"{name} from {begin:g} s"


def _cut(row: int, name: str, stretch: Stretch, header: Header, segment: float, rate: int) -> list[_Part]:
    """A stretch of a file as parts of at most ``segment`` seconds."""
    start, end = stretch.start, stretch.end
    if end is not None and end > header.seconds + BEYOND:
        raise SampleError(
            f"{header.seconds:.2f} s long, and its stretch ends at {end:g} s: a manifest counts seconds, not samples"
        )
    first = round(start * header.rate)
    last = header.frames if end is None else min(header.frames, round(end * header.rate))
    if last - first < SHORTEST * header.rate:
        raise SampleError(f"{header.seconds:.2f} s long, so nothing lies from {start:g} s to {end or 0:g} s")
    pieces = math.ceil((last - first) / (segment * header.rate))
    edges = [first + (last - first) * n // pieces for n in range(pieces + 1)]
    whole = pieces == 1 and stretch == Stretch()
    return [
        _Part(row, name, a, b - a, resampled(b - a, header.rate, rate), None if whole else a / header.rate)
        for a, b in pairwise(edges)
    ]


def _speakers(manifest: Manifest | None, asked: str) -> list[str | None] | None:
    """Who speaks in each row of a manifest, by the column ``asked`` or a usual one; None where none says it."""
    if manifest is None or asked == NONE:
        return None
    folded = manifest.table.folded
    name = manifest.table.find(asked) if asked else next((folded[n] for n in SPEAKERS if n in folded), None)
    return None if name is None else manifest.table.texts(name)
