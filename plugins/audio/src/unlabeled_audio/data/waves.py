"""Batches of clips of like lengths, with partners where views ask for them: what all data sets of clips share.

# N clips of the data set, B of a batch, S samples
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from unlabeled.build import trainable
from unlabeled.contract import Data
from unlabeled.data.cache import Cache
from unlabeled.draw import mix64
from unlabeled.errors import UsageError
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.data.batching import Batching, bucketed, by_seconds


class Waves:
    """A data set of clips, of which a subclass says how one is read: ``_wave``."""

    spec: AudioSpec
    test: Tensor | None
    even = False  # whether the loss is one of clips, and not of their frames

    def __init__(self, lengths: Sequence[int], cache: int, batching: Batching) -> None:
        if cache < 0:
            raise ValueError(f"cache is {cache} MiB; it must be at least 0")
        self._lengths, self._partners, self._batching = tuple(lengths), False, batching
        self._cache = Cache.fitting(self._lengths, torch.float32, cache)

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def seconds(self) -> Tensor:
        """``float[N]``: how long each clip is."""
        return torch.tensor(self._lengths) / self.spec.rate

    def arrange(self, ids: Tensor, size: int) -> Tensor:
        """An epoch's ids in batches of clips of like lengths, so that little is spent on padding."""
        return ids[bucketed(self._samples(ids), size)]

    def batches(self, ids: Tensor, size: int, parts: int) -> list[Tensor]:
        """An epoch's ids as batches of about the same seconds each, ``size`` clips in the mean, or of ``size`` each.

        Batches of seconds hold few long clips or many short ones, so in a mean over clips a short one weighs little.
        """
        if self._batching == "clips" or (self._batching == "auto" and self.even):
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
        """``float32[S]``, clip ``number``."""
        raise NotImplementedError

    def _load(self, number: int) -> Tensor:
        def load() -> Tensor:
            return fit(self._wave(number), self._lengths[number])

        return load() if self._cache is None else self._cache.one(number, load)

    def _collate(
        self, found: Sequence[tuple[int, Tensor]], read: Callable[[int, int], Tensor], epoch: int
    ) -> AudioBatch:
        """Numbered clips as a batch, with partners where views ask for them: ``read(partner, own)`` gives one."""
        ids = torch.tensor([number for number, _ in found], dtype=torch.int64)
        waves = [wave for _, wave in found]
        batch = AudioBatch(ids, torch.cat([torch.zeros(0), *waves]), tuple(len(w) for w in waves))
        if self._partners:
            others = [read(int(n), int(own)) for n, own in zip(self.partner_of(ids, epoch), ids, strict=True)]
            batch = replace(
                batch, partner=torch.cat([torch.zeros(0), *others]), partner_lengths=tuple(len(w) for w in others)
            )
        return batch

    def partner_of(self, ids: Tensor, epoch: int = 0) -> Tensor:
        """The clip that views may mix into each in this epoch: never itself, and never one held out."""
        pool = trainable(cast(Data, self))
        if len(pool) < 2:
            return ids
        turn = (mix64(mix64(ids + 1) + epoch) & 0xFFFFFFFF) % (len(pool) - 1)
        chosen = pool[turn]
        return torch.where(chosen == ids, pool[-1], chosen)


def fit(wave: Tensor, length: int) -> Tensor:
    """A wave of just ``length`` samples: resamplers differ by one at the end."""
    return wave[:length] if len(wave) >= length else torch.nn.functional.pad(wave, (0, length - len(wave)))
