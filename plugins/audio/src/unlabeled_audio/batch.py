"""The spec that audio parts are wired with, and batches of clips, packed without padding.

# B clips of a batch, S samples of all of them, F frames of all of them
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any, Literal, Self

import torch
from torch import Tensor

from unlabeled.data.batch import MovableBatch
from unlabeled.errors import at_least
from unlabeled.transfer import cut, numbers


@dataclass(frozen=True)
class AudioSpec:
    """What encoders get: mono samples at ``rate`` Hz, each clip with mean 0 and deviation 1, ``seconds`` at most.

    Args:
        rate: samples a second.
        seconds: length of the longest view; longer clips are cropped.
        mels: bands of the mel spectrogram.
        window: of a spectrogram's frame, in seconds.
        hop: from frame to frame, in seconds.
        front: which spectrogram: logmel (Hann window, HTK scale), or fbank as Kaldi computes it.
    """

    rate: int
    seconds: float = 10.0
    mels: int = 64
    window: float = 0.025
    hop: float = 0.01
    front: Literal["logmel", "fbank"] = "logmel"

    def __post_init__(self) -> None:
        if self.rate < 1000:
            raise ValueError(f"rate is {self.rate}; it must be at least 1000 Hz")
        if not 0.0 < self.hop <= self.window:
            raise ValueError(f"hop {self.hop} s and window {self.window} s: hop lies above 0, up to the window")
        if self.window_samples < 16 or self.hop_samples < 1:
            raise ValueError(f"a window of {self.window} s has {self.window_samples} samples; 16 are the least")
        if self.seconds < self.window:
            raise ValueError(f"seconds is {self.seconds}; it must be at least a window of {self.window}")
        at_least(2, mels=self.mels)
        if self.front not in ("logmel", "fbank"):
            raise ValueError(f"front is {self.front!r}; it must be logmel or fbank")

    @property
    def window_samples(self) -> int:
        return round(self.window * self.rate)

    @property
    def hop_samples(self) -> int:
        return round(self.hop * self.rate)

    @property
    def longest(self) -> int:
        """Samples of the longest view."""
        return round(self.seconds * self.rate)

    def frames(self, samples: int) -> int:
        """Frames of a clip: windows that lie within it, and one at least."""
        return max(0, samples - self.window_samples) // self.hop_samples + 1


@dataclass(frozen=True)
class AudioBatch(MovableBatch):
    """Clips end to end, without padding.

    Args:
        ids: ``int64[B]`` index of each clip in its data set.
        wave: ``float32[S]`` samples, clip after clip.
        lengths: samples of each clip, on the host; their sum is S.
        mel: ``[F, mels]`` standardized log-mel frames that views have altered; None = as computed from ``wave``.
            As many frames a clip as ``AudioSpec.frames`` gives.
        target: ``[S]`` samples that tokenizers read in place of ``wave``: the clean speech under a mixture.
        partner: samples of another clip of the data for each, for views that mix; None where the data gives none.
        partner_lengths: samples of each partner.
        bad: names of clips that could not be read, with the reason; they are left out, and in training others
            stand in.
    """

    ids: Tensor
    wave: Tensor
    lengths: tuple[int, ...]
    mel: Tensor | None = None
    target: Tensor | None = None
    partner: Tensor | None = None
    partner_lengths: tuple[int, ...] = ()
    bad: tuple[tuple[str, str], ...] = ()
    frames: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, samples: slice) -> Self:
        start, stop, step = samples.indices(len(self))
        if step != 1:
            raise TypeError(f"a batch is cut in steps of 1, not {step}")
        return replace(
            self,
            ids=cut(self.ids, start, stop),
            wave=_cut(self.wave, self.lengths, start, stop),
            lengths=self.lengths[start:stop],
            mel=None if self.mel is None else _cut(self.mel, self.frames, start, stop),
            target=None if self.target is None else _cut(self.target, self.lengths, start, stop),
            partner=None if self.partner is None else _cut(self.partner, self.partner_lengths, start, stop),
            partner_lengths=self.partner_lengths[start:stop],
            frames=self.frames[start:stop],
            bad=(),
        )

    @property
    def source(self) -> Tensor:
        """The samples that targets are made of."""
        return self.wave if self.target is None else self.target

    def clips(self) -> list[Tensor]:
        """The samples of each clip, as views."""
        return list(self.wave.split(self.lengths))


def joined(batches: Sequence[AudioBatch]) -> AudioBatch:
    """Batches end to end."""

    def all_of(name: str) -> Tensor | None:
        parts = [getattr(batch, name) for batch in batches]
        return None if parts[0] is None else torch.cat(parts)

    def each(name: str) -> Any:
        return tuple(chain.from_iterable(getattr(batch, name) for batch in batches))

    tensors: Any = {name: all_of(name) for name in ("ids", "wave", "mel", "target", "partner")}
    counts = {name: each(name) for name in ("lengths", "partner_lengths", "frames")}
    return AudioBatch(**tensors, **counts)


def _cut(x: Tensor, lengths: Sequence[int], start: int, stop: int) -> Tensor:
    begin, end = sum(lengths[:start]), sum(lengths[:stop])
    return x[begin:end]


def starts(lengths: Sequence[int]) -> tuple[int, ...]:
    """Where each clip begins."""
    return tuple(accumulate(lengths, initial=0))[:-1]


def owner(lengths: Sequence[int], device: torch.device) -> Tensor:
    """``int64[S]``: the clip of each sample."""
    counts = numbers(lengths, device)
    return torch.arange(len(lengths), device=device).repeat_interleave(counts, output_size=sum(lengths))


def spread(values_B: Tensor, lengths: Sequence[int]) -> Tensor:
    """A number for each clip, as one for each of its samples."""
    counts = numbers(lengths, values_B.device)
    return values_B.repeat_interleave(counts, dim=0, output_size=sum(lengths))


def within(lengths: Sequence[int], device: torch.device) -> Tensor:
    """``int64[S]``: the place of each sample in its clip."""
    return torch.arange(sum(lengths), device=device) - spread(numbers(starts(lengths), device), lengths)


def windows(begin: Tensor, first: Tensor, lengths: Sequence[int]) -> Tensor:
    """Index into packed samples: ``lengths[b]`` of them from ``begin[b] + first[b]`` on."""
    total = sum(lengths)
    here = numbers(starts(lengths), begin.device)
    return torch.arange(total, device=begin.device) + spread(begin + first - here, lengths)


def dense(wave: Tensor, lengths: Sequence[int], width: int = 0) -> Tensor:
    """Packed samples as ``[B, width]``, zeros after each clip; width 0 = the longest."""
    width = width or max(lengths, default=0)
    out = wave.new_zeros(len(lengths) * width)
    place = torch.arange(len(lengths), device=wave.device) * width
    index = windows(place, torch.zeros_like(place), lengths)
    return out.index_copy(0, index, wave).view(len(lengths), width)


def pack(x_BL: Tensor, lengths: Sequence[int]) -> Tensor:
    """The inverse of :func:`dense`."""
    place = torch.arange(len(lengths), device=x_BL.device) * x_BL.shape[1]
    return x_BL.flatten()[windows(place, torch.zeros_like(place), lengths)]


def moments(wave: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each clip: ``[B]`` and ``[B]``."""
    counts = numbers(lengths, wave.device)
    mean_B = torch.segment_reduce(wave, "mean", lengths=counts, unsafe=True)  # else the device is waited for
    centered = wave - spread(mean_B, lengths)
    return mean_B, torch.segment_reduce(centered.square(), "mean", lengths=counts, unsafe=True)


def standardize(wave: Tensor, lengths: Sequence[int]) -> Tensor:
    """Each clip with mean 0 and variance 1, as transformers' feature extractor has it."""
    mean_B, variance_B = moments(wave, lengths)
    return (wave - spread(mean_B, lengths)) * spread(torch.rsqrt(variance_B + 1e-7), lengths)
