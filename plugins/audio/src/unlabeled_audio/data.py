"""Audio data sets: generated syllables, which need no download, and a user's files.

Clips are read when they are asked for, mono and at one rate, and kept in memory that workers share where all fit. A
recording longer than ``segment`` seconds is several samples, each a part of it, so that an hour is never read whole;
views crop within a part. A clip that cannot be read never stops a run by itself: it is found by its header when the
data set is opened, or when it is decoded, named once with the reason, and counted;
only a share above ``max_bad`` stops.

    # N clips of the data set, B of a batch, S samples
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unlabeled.draw import mix64
from unlabeled.errors import UsageError, within
from unlabeled.files import check_bad, natural
from unlabeled_audio.batch import AudioBatch, AudioSpec, starts
from unlabeled_audio.buckets import Batching, bucketed, by_seconds
from unlabeled_audio.files import Entry, FileError, Source, open_source
from unlabeled_audio.reading import SHORTEST, Header, decode, read_header, resampled
from unlabeled_audio.synthesis import SYLLABLES, VOICES, Voice, syllable, timing

__all__ = ["AudioBatch", "AudioSpec", "Clips", "Syllables"]
HIGHEST = 16000  # Hz; the default rate is that of most files, and no more than this


class _Waves:
    """What both data sets share: batches of like lengths, partners, and the memory that decoded clips are kept in."""

    spec: AudioSpec
    test: Tensor | None

    def __init__(self, lengths: Sequence[int], cache: int, batching: Batching) -> None:
        if cache < 0:
            raise ValueError(f"cache is {cache} MiB; it must be at least 0")
        self._lengths, self._partners, self._batching = tuple(lengths), False, batching
        self._cache = Cache.fitting(self._lengths, cache)

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def seconds(self) -> Tensor:
        """``float[N]``: how long each clip is."""
        return torch.tensor(self._lengths) / self.spec.rate

    def arrange(self, ids: Tensor, size: int) -> Tensor:
        """An epoch's ids in batches of clips of like lengths, so that little is spent on padding (``buckets.py``)."""
        return ids[bucketed(self._samples(ids), size)]

    def batches(self, ids: Tensor, size: int, parts: int) -> list[Tensor]:
        """An epoch's ids as batches of about the same seconds each, ``size`` clips in the mean, or of ``size`` each."""
        if self._batching == "clips":
            return list(self.arrange(ids, size)[: len(ids) // size * size].split(size))
        return [ids[index] for index in by_seconds(self._samples(ids), size, parts)]

    def _samples(self, ids: Tensor) -> Tensor:
        """How long a view of each clip can be."""
        return torch.tensor(self._lengths)[ids].clamp(max=self.spec.longest)

    def bring(self, asks: Sequence[str]) -> None:
        """Have batches carry what views ask for: ``partner``, another clip for each."""
        unknown = set(asks) - {"partner"}
        if unknown:
            raise UsageError(f"the views ask for {', '.join(sorted(unknown))}; audio data brings partner alone")
        self._partners = True

    def _wave(self, number: int) -> Tensor:
        raise FileError(f"{type(self).__name__} reads nothing")

    def _one(self, number: int) -> Tensor:
        def load() -> Tensor:
            return self._wave(number)

        return load() if self._cache is None else self._cache.one(number, load)

    def _collate(self, found: Sequence[tuple[int, Tensor]], read: Callable[[int], Tensor], epoch: int) -> AudioBatch:
        """Numbered clips as a batch, with partners that ``read`` gives, where views have asked for them."""
        ids = torch.tensor([number for number, _ in found], dtype=torch.int64)
        waves = [wave for _, wave in found]
        batch = AudioBatch(ids, torch.cat(waves), tuple(len(w) for w in waves))
        if self._partners:
            others = [read(int(n)) for n in self.partner_of(ids, epoch)]
            batch = replace(batch, partner=torch.cat(others), partner_lengths=tuple(len(w) for w in others))
        return batch

    def partner_of(self, ids: Tensor, epoch: int = 0) -> Tensor:
        """The clip that views may mix into each in this epoch: never itself, and never one held out."""
        pool = torch.arange(len(self)) if self.test is None else torch.nonzero(~self.test)[:, 0]
        if len(pool) < 2:
            return ids
        turn = (mix64(mix64(ids + 1) + epoch) & 0xFFFFFFFF) % (len(pool) - 1)
        chosen = pool[turn]
        return torch.where(chosen == ids, pool[-1], chosen)


@dataclass
class Cache:
    """Decoded clips end to end, ``wave[S]``, and which of them are there: ``ready[N]``."""

    wave: Tensor
    ready: Tensor
    lengths: tuple[int, ...]
    begin: tuple[int, ...]

    @classmethod
    def fitting(cls, lengths: tuple[int, ...], most: int) -> Cache | None:
        """Room for all clips, where that is within ``most`` MiB; else None."""
        total = 4 * sum(lengths)
        if not total or total > most << 20:
            return None
        # an anonymous map, not torch's shared memory: a container's /dev/shm may hold 64 MB, and a fault there kills
        room = mmap.mmap(-1, total + len(lengths))
        flat = torch.frombuffer(room, dtype=torch.uint8)
        return cls(flat[:total].view(torch.float32), flat[total:].view(torch.bool), lengths, starts(lengths))

    def one(self, number: int, read: Callable[[], Tensor]) -> Tensor:
        """Clip ``number``, by ``read`` the first time."""
        place = slice(self.begin[number], self.begin[number] + self.lengths[number])
        if not self.ready[number]:
            self.wave[place] = fit(read(), self.lengths[number])
            self.ready[number] = True
        return self.wave[place]


def fit(wave: Tensor, length: int) -> Tensor:
    """A wave of just ``length`` samples: resamplers differ by one at the end."""
    return wave[:length] if len(wave) >= length else torch.nn.functional.pad(wave, (0, length - len(wave)))


class Syllables(_Waves):
    """Generated syllables: 10 classes, 6 voices, random pitch, tempo and loudness. Every fifth take is held out.

    Args:
        count: N, number of clips.
        rate: samples a second, in Hz.
        seconds: length of the longest view; longer clips are cropped.
        mels: bands of the mel spectrogram.
        window: of a spectrogram's frame, in seconds.
        hop: from frame to frame, in seconds.
        front: spectrogram: logmel, or fbank as Kaldi computes it.
        batching: batches of clips of like lengths: about the same seconds each, or as many clips each.
        seed: of the takes.
    """

    def __init__(
        self,
        path: str | None,
        *,
        count: int = 600,
        rate: int = 8000,
        seconds: float = 0.64,
        mels: int = 40,
        window: float = 0.025,
        hop: float = 0.01,
        front: Literal["logmel", "fbank"] = "logmel",
        batching: Literal["seconds", "clips"] = "seconds",
        seed: int = 0,
    ) -> None:
        if path is not None:
            raise ValueError(f"syllables are generated; to read {path}, give --data clips:{path}")
        if count < 60:
            raise ValueError(f"count is {count}; it must be at least 60, one take of each syllable by each voice")
        self.spec = AudioSpec(rate, seconds, mels, window, hop, front)
        number = torch.arange(count)
        self.classes = tuple(SYLLABLES)
        self.labels: Tensor | None = number % 10
        self.speakers: Tensor | None = number // 10 % 6
        self.voices = tuple(voice.name for voice in VOICES)
        self.test: Tensor | None = number // 60 % 5 == 4
        self._seed = seed
        super().__init__([timing(*self._take(n)).total for n in range(count)], 1024, batching)

    def _take(self, number: int) -> tuple[str, Voice, int, np.random.Generator]:
        voice = VOICES[number // 10 % 6]
        return self.classes[number % 10], voice, self.spec.rate, np.random.default_rng([self._seed, number])

    def _wave(self, number: int) -> Tensor:
        # made when it is asked for: all takes at once would slow every start by seconds
        return torch.from_numpy(syllable(*self._take(number)))

    def __getitems__(self, indices: Sequence[int]) -> AudioBatch:
        found = [(int(number), self._one(int(number))) for number in indices]
        return self._collate(found, self._one, getattr(indices, "epoch", 0))

    def report(self, batch: AudioBatch) -> list[str]:
        """Nothing here can be unreadable."""
        return []

    def describe(self) -> str:
        return f"generated syllables: {len(self):,} clips, 10 classes, 6 voices, {self.spec.rate} Hz, a fifth held out"


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
