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
from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.data.about import about
from unlabeled.data.files import natural
from unlabeled.data.readable import Readable, SampleError, scan
from unlabeled.data.sides import masks
from unlabeled.data.sources import Folder, passed_over
from unlabeled.errors import within
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.data.reading import SHORTEST, Header, decode, read_header, resampled
from unlabeled_audio.data.sources import Entry, open_source
from unlabeled_audio.data.waves import Waves

BEYOND = 1.0  # seconds that a stretch may end after its file: lengths are rounded
HIGHEST = 16000  # Hz; the default rate is that of most files, and no more than this


class Clips(Waves, Readable):
    """Recordings of a user: a folder, a ``.zip``, or a manifest ``.csv``, of WAV, FLAC, OGG, MP3 at any rate.

    A folder's first level of sub-folders gives the classes. A manifest has a column ``path`` (or file), and may have
    ``start`` and ``end`` (or ``duration``) in seconds, ``label``, ``speaker``, and ``split`` (test, dev, ... are held
    out). Channels are averaged; where they cancel, the loudest is kept.

    Args:
        rate: samples a second that all clips are brought to, in Hz; 0 = that of most files, at most 16,000.
        segment: seconds; a longer recording is cut into equal parts no longer than this, each a sample of its own.
        seconds: length of the longest view; 0 = that of the longest clip, at most 10.
        label: a manifest's column that names the class; empty = label, class, category or target.
        mels: bands of the mel spectrogram; 0 = 40 below 12 kHz, 64 from there, 80 with fbank.
        window: of a spectrogram's frame, in seconds.
        hop: from frame to frame, in seconds.
        front: spectrogram: logmel, or fbank as Kaldi computes it.
        batching: batches of clips of like lengths: about the same seconds each, or as many clips each.
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
        label: str = "",
        mels: int = 0,
        window: float = 0.025,
        hop: float = 0.01,
        front: Literal["logmel", "fbank"] = "logmel",
        batching: Literal["seconds", "clips"] = "seconds",
        cache: int = 1024,
    ) -> None:
        within(0, 384000, rate=rate)
        within(0, 3600, seconds=seconds)
        within(2 * SHORTEST, 3600, segment=segment)
        self._source, entries = open_source(Path(path), label)
        # an archive has one position, so its members are read in turn
        threads = 4 if isinstance(self._source, Folder) else 1
        good, missing = scan(list(dict.fromkeys(e.name for e in entries)), self._look, threads)
        headers, unreadable = dict(good), dict(missing)
        rates = Counter(h.rate for h in headers.values())
        rate = rate or (min(HIGHEST, rates.most_common(1)[0][0]) if rates else HIGHEST)
        self._parts: list[_Part] = []
        bad: dict[str, str] = {}
        for entry in entries:
            try:
                if entry.name in unreadable:
                    raise SampleError(unreadable[entry.name])
                self._parts += _cut(entry, headers[entry.name], segment, rate)
            except SampleError as error:
                bad[_title(entry)] = str(error)
        self._open(Path(path), bad, len(entries), max_bad)
        longest = max(p.length for p in self._parts) / rate
        mels = mels or (80 if front == "fbank" else 40 if rate < 12000 else 64)
        self.spec = AudioSpec(rate, seconds or max(window, min(10.0, longest)), mels, window, hop, front)
        self._annotate([p.entry for p in self._parts])
        super().__init__([p.length for p in self._parts], cache, batching)

    def _look(self, name: str) -> Header:
        with self._source.open(name) as file:
            return read_header(file, self._source.size(name))

    def _annotate(self, entries: Sequence[Entry]) -> None:
        self.labels, self.classes = _numbered([e.label for e in entries])
        self.speakers, self.voices = _numbered([e.speaker for e in entries])
        self.test, self.val = masks([e.side for e in entries])

    def _wave(self, number: int) -> Tensor:
        part = self._parts[number]
        with self._source.open(part.entry.name) as file:
            return decode(file, self.spec.rate, part.first, part.count)

    def __getitems__(self, indices: Sequence[int]) -> AudioBatch:
        """Clips ``indices``. Those that cannot be read are left out, or stood in for in training."""
        read, bad = self._found(indices)

        def partner(number: int, own: int) -> Tensor:
            other = self._tried(number, bad) or self._stand_in(number, {own}, bad)
            return self._load(own) if other is None else other[1]

        batch = self._collate(read, partner, getattr(indices, "epoch", 0))
        return replace(batch, bad=tuple(bad.items()))

    def _title(self, number: int) -> str:
        part = self._parts[number]
        return _title(part.entry) if part.begin is None else f"{part.entry.name} from {part.begin:g} s"

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

    ``begin`` in seconds, of a part that is one of several.
    """

    entry: Entry
    first: int
    count: int
    length: int
    begin: float | None = None


def _title(entry: Entry) -> str:
    return entry.name if entry.end is None and not entry.start else f"{entry.name} from {entry.start:g} s"


def _cut(entry: Entry, header: Header, segment: float, rate: int) -> list[_Part]:
    """The stretch of an entry as parts of at most ``segment`` seconds."""
    if entry.end is not None and entry.end > header.seconds + BEYOND:
        raise SampleError(
            f"{header.seconds:.2f} s long, and its stretch ends at {entry.end:g} s: "
            "a manifest counts seconds, not samples"
        )
    first = round(entry.start * header.rate)
    last = header.frames if entry.end is None else min(header.frames, round(entry.end * header.rate))
    if last - first < SHORTEST * header.rate:
        raise SampleError(
            f"{header.seconds:.2f} s long, so nothing lies from {entry.start:g} s to {entry.end or 0:g} s"
        )
    pieces = math.ceil((last - first) / (segment * header.rate))
    edges = [first + (last - first) * n // pieces for n in range(pieces + 1)]
    return [
        _Part(entry, a, b - a, resampled(b - a, header.rate, rate), a / header.rate if pieces > 1 else None)
        for a, b in pairwise(edges)
    ]


def _numbered(names: Sequence[str | None]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Numbers of names, -1 for none; the names in natural order."""
    known = tuple(natural({n for n in names if n is not None}))
    if not known:
        return None, ()
    number = {name: n for n, name in enumerate(known)}
    return torch.tensor([-1 if n is None else number[n] for n in names]), known
