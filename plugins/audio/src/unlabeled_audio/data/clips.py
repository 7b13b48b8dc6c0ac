"""A user's clips: a folder, a zip or a manifest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.data.files import check_bad, natural
from unlabeled.errors import UsageError, within
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.data.reading import SHORTEST, Header, decode, read_header, resampled
from unlabeled_audio.data.sources import Entry, FileError, Source, open_source
from unlabeled_audio.data.waves import _Waves, fit

HIGHEST = 16000  # Hz; the default rate is that of most files, and no more than this


class Clips(_Waves):
    """Recordings of a user: a folder, a ``.zip``, or a manifest ``.csv``, of WAV, FLAC, OGG, MP3 at any rate.

    A folder's first level of sub-folders gives the classes. A manifest has a column ``path`` (or file), and may have
    ``start`` and ``end`` in seconds, ``label``, ``speaker``, and ``split`` (test, dev, ... are held out).

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
        self._path, self._max_bad = Path(path), max_bad
        self._source, entries = open_source(self._path, label)
        headers, unreadable = _scan(self._source, list(dict.fromkeys(e.name for e in entries)))
        rates = Counter(h.rate for h in headers.values())
        rate = rate or (min(HIGHEST, rates.most_common(1)[0][0]) if rates else HIGHEST)
        self._parts: list[_Part] = []
        self.bad: dict[str, str] = {}
        for entry in entries:
            try:
                if entry.name in unreadable:
                    raise FileError(unreadable[entry.name])
                self._parts += _cut(entry, headers[entry.name], segment, rate)
            except FileError as error:
                self.bad[_title(entry)] = str(error)
        self._total = len(entries)
        self._check_bad()
        longest = max(p.length for p in self._parts) / rate
        mels = mels or (80 if front == "fbank" else 40 if rate < 12000 else 64)
        self.spec = AudioSpec(rate, seconds or max(window, min(10.0, longest)), mels, window, hop, front)
        self._annotate([p.entry for p in self._parts])
        super().__init__([p.length for p in self._parts], cache, batching)

    def _annotate(self, entries: Sequence[Entry]) -> None:
        self.labels, self.classes = _numbered([e.label for e in entries])
        self.speakers, self.voices = _numbered([e.speaker for e in entries])
        held = [e.test for e in entries]
        self.test = None if all(t is None for t in held) else torch.tensor([bool(t) for t in held])

    def _wave(self, number: int) -> Tensor:
        part = self._parts[number]
        file, _ = self._source.open(part.entry.name)
        with file:
            return fit(decode(file, self.spec.rate, part.first, part.count), part.length)

    def __getitems__(self, indices: Sequence[int]) -> AudioBatch:
        """Clips ``indices``. One that cannot be read is replaced by the next that can, whose id it takes."""
        bad: dict[str, str] = {}
        read = [self._readable(int(index), bad) for index in indices]
        batch = self._collate(read, lambda number: self._readable(number, bad)[1], getattr(indices, "epoch", 0))
        return replace(batch, bad=tuple(bad.items()))

    def _readable(self, first: int, bad: dict[str, str]) -> tuple[int, Tensor]:
        """The first clip from ``first`` on that can be read, and its number; ``bad`` gets those before it."""
        for turn in range(len(self)):
            number = (first + turn) % len(self)
            try:
                return number, self._one(number)
            except FileError as error:
                bad[_title(self._parts[number].entry)] = str(error)
        raise UsageError(f"{self._path}: none of the {len(self):,} clips can be read; the last: {bad.popitem()[1]}")

    def report(self, batch: AudioBatch) -> list[str]:
        """One line for each clip of ``batch.bad`` that is new here; :class:`UsageError` once they are too many.

        Decoding happens in worker processes, so the main process calls this with each batch that arrives.
        """
        new = {name: reason for name, reason in batch.bad if name not in self.bad}
        self.bad |= new
        if new:
            self._check_bad()
        return [f"skipped {name}: {reason}" for name, reason in new.items()]

    def _check_bad(self) -> None:
        check_bad(self._path, self.bad, self._total, self._max_bad, "clips")

    def describe(self) -> str:
        hours = sum(self._lengths) / self.spec.rate / 3600
        about = [f"{len(self):,} clips", f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"]
        about += [f"{len(self.classes)} classes"] if self.classes else []
        about += [f"{len(self.voices)} speakers"] if self.voices else []
        about += [f"{int(self.test.sum()):,} held out"] if self.test is not None else []
        about += [f"{self.spec.rate} Hz"]
        about += [f"{len(self.bad):,} unreadable skipped"] if self.bad else []
        return f"{self._path}: {', '.join(about)}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": None}  # a spawned worker cannot share this memory, so it decodes


@dataclass(frozen=True, slots=True)
class _Part:
    """``first`` and ``count`` in samples of the file, ``length`` in samples of the data set's rate."""

    entry: Entry
    first: int
    count: int
    length: int


def _title(entry: Entry) -> str:
    return entry.name if entry.end is None and not entry.start else f"{entry.name} from {entry.start:g} s"


def _cut(entry: Entry, header: Header, segment: float, rate: int) -> list[_Part]:
    """The stretch of an entry as parts of at most ``segment`` seconds."""
    first = round(entry.start * header.rate)
    last = header.frames if entry.end is None else min(header.frames, round(entry.end * header.rate))
    if last - first < SHORTEST * header.rate:
        raise FileError(f"{header.seconds:.2f} s long, so nothing lies from {entry.start:g} s to {entry.end or 0:g} s")
    pieces = math.ceil((last - first) / (segment * header.rate))
    edges = [first + (last - first) * n // pieces for n in range(pieces + 1)]
    return [_Part(entry, a, b - a, resampled(b - a, header.rate, rate)) for a, b in pairwise(edges)]


def _numbered(names: Sequence[str | None]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Numbers of names, -1 for none; the names in natural order."""
    known = tuple(natural({n for n in names if n is not None}))
    if not known:
        return None, ()
    number = {name: n for n, name in enumerate(known)}
    return torch.tensor([-1 if n is None else number[n] for n in names]), known


def _scan(source: Source, names: Sequence[str]) -> tuple[dict[str, Header], dict[str, str]]:
    """The header of each readable file, and why the others are not."""

    def look(name: str) -> Header | str:
        try:
            file, size = source.open(name)
            with file:
                return read_header(file, size)
        except FileError as error:
            return str(error)

    # threads wait for disks together; an archive has one position, and its members are read in turn
    slices = [names[start : start + 256] for start in range(0, len(names), 256)]
    with ThreadPoolExecutor(4 if type(source).__name__ == "Folder" else 1) as pool:
        found = dict(zip(names, chain.from_iterable(pool.map(lambda part: [look(n) for n in part], slices))))
    good = {name: header for name, header in found.items() if isinstance(header, Header)}
    return good, {name: reason for name, reason in found.items() if isinstance(reason, str)}
