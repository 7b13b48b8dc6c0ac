"""Spectrograms of packed clips: log-mel, Kaldi's filter bank, MFCC, constant Q.

Frames are cut within each clip (Kaldi's ``snip_edges``, torchaudio's ``center=False``), so a frame depends on its own
samples alone: not on padding, nor on a neighbor in the batch. A clip shorter than a window has one frame, filled up
with zeros. Mel scale: O'Shaughnessy 1987 as HTK has it; MFCC: Davis and Mermelstein 1980; constant Q: Brown and
Puckette 1992, https://doi.org/10.1121/1.404385.

Clips have deviation 1 (``batch.standardize``). Power is that of white noise at 1, so that log-mel has about the same
mean and deviation, ``MEAN`` and ``STD``, for any window, and nothing needs to be learned from the data. Differs:
torchaudio leaves both factors in; each mel filter here sums to 1 over frequencies.

    # B clips, S samples, F frames of all clips, W samples of a window, K frequencies, M mel bands
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.nn.precision import full_precision
from unlabeled.transfer import numbers, resident
from unlabeled_audio.batch import AudioSpec, spread, starts, within

FLOOR = 1e-5  # of mel power, where white noise of the clip's loudness has 1
MEAN, STD = -4.0, 3.0  # of log-mel, over speech
FRAMES = 2048  # that are held at a time on a CPU
FBANK_MEAN = 1.0  # of Kaldi's log energies, which are sums where those are means


# ---------------------------------------------------------------------------------------------- frames


def frame_counts(lengths: Sequence[int], window: int, hop: int) -> tuple[int, ...]:
    """Frames of each clip: windows that lie within it, and one at least."""
    return tuple(max(0, n - window) // hop + 1 for n in lengths)


def frame_starts(lengths: Sequence[int], window: int, hop: int, device: torch.device) -> Tensor:
    """``int64[F]``: the first sample of each frame."""
    counts = frame_counts(lengths, window, hop)
    return spread(numbers(starts(lengths), device), counts) + hop * within(counts, device)


def by_frames(
    wave: Tensor, lengths: Sequence[int], window: int, hop: int, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """``change(frames[f, W])`` of the windows of each clip, ``[F, ...]``.

    On a CPU some at a time: frames overlap, and their spectra are complex, so all of a batch take ten times its memory.
    """
    begin = frame_starts(lengths, window, hop, wave.device)
    at, size = F.pad(wave, (0, window)).unfold(0, window, 1), None
    if min(lengths, default=window) < window:  # filled up with zeros
        counts = numbers(frame_counts(lengths, window, hop), wave.device)
        size = numbers(lengths, wave.device).repeat_interleave(counts, output_size=len(begin))
    place = torch.arange(window, device=wave.device)
    most = FRAMES if wave.device.type == "cpu" else max(1, len(begin))

    def some(rows: slice) -> Tensor:
        frames = at[begin[rows]]
        return change(frames if size is None else frames * (place < size[rows, None]))

    return torch.cat([some(slice(first, first + most)) for first in range(0, max(1, len(begin)), most)])


def next_power(n: int) -> int:
    """The least power of two that is at least ``n``."""
    return 1 << max(0, n - 1).bit_length()


# ---------------------------------------------------------------------------------------------- mel


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """HTK's scale."""
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def triangles(points: np.ndarray, place: np.ndarray) -> np.ndarray:
    """``[K, M]``: triangles between ``points[M + 2]``, each 1 at its middle point, seen at ``place[K]``."""
    left, middle, right = points[:-2], points[1:-1], points[2:]
    up = (place[:, None] - left) / (middle - left)
    down = (right - place[:, None]) / (right - middle)
    found: np.ndarray = np.maximum(0.0, np.minimum(up, down))
    return found


@lru_cache(maxsize=32)
def mel_filters(rate: int, window: int, mels: int) -> tuple[int, Tensor]:
    """Points of the transform, and ``[K, M]`` filters that are triangles in Hz, each with sum 1.

    The transform is long enough that every filter has a frequency in it.
    """
    points = 700.0 * (10.0 ** (np.linspace(0.0, hz_to_mel(rate / 2), mels + 2) / 2595.0) - 1.0)
    size = next_power(window)
    while True:
        found = triangles(points, np.fft.rfftfreq(size, 1 / rate))
        if found.sum(0).min() > 0 or size >= 16 * window:
            break
        size *= 2
    return size, torch.from_numpy(found / np.maximum(found.sum(0), 1e-9)).float()


def mel_power(wave: Tensor, lengths: Sequence[int], rate: int, window: int, hop: int, mels: int) -> Tensor:
    """``[F, M]``: power in each mel band, 1 for white noise of deviation 1."""
    size, filters = mel_filters(rate, window, mels)
    shape, filters = unit_hann(window).to(wave.device), filters.to(wave.device)
    return by_frames(wave, lengths, window, hop, lambda frames: power(frames * shape, size) @ filters)


def unit_hann(window: int) -> Tensor:
    """Hann's window with sum of squares 1, so that white noise of deviation 1 has power 1."""
    shape = torch.hann_window(window)
    return shape / shape.square().sum().sqrt()


def power(frames_FW: Tensor, size: int) -> Tensor:
    """``[F, K]``: squared magnitudes of the transform of each frame."""
    spectrum = torch.fft.rfft(frames_FW.float(), size)
    return spectrum.real.square() + spectrum.imag.square()


def log_mel(wave: Tensor, lengths: Sequence[int], rate: int, window: int, hop: int, mels: int) -> Tensor:
    """``[F, M]``: log-mel with about mean 0 and deviation 1 over speech."""
    return (torch.log(mel_power(wave, lengths, rate, window, hop, mels) + FLOOR) - MEAN) / STD


def spectrogram(wave: Tensor, lengths: Sequence[int], spec: AudioSpec) -> Tensor:
    """``[F, M]``: the spectrogram that ``spec`` asks for, with about mean 0 and deviation 1."""
    return Spectrogram(spec).to(wave.device)(wave, lengths)


class Spectrogram(nn.Module):
    """The spectrogram that ``spec`` asks for, ``[F, M]``; window and filters are buffers, and no part of the state.

    ``window`` and ``hop`` in samples stand in for the spec's, where rows have a rate of their own.
    """

    shape: Tensor
    filters: Tensor

    def __init__(self, spec: AudioSpec, window: int = 0, hop: int = 0) -> None:
        super().__init__()
        self.window, self.hop = window or spec.window_samples, hop or spec.hop_samples
        self.kaldi = spec.front == "fbank"
        if self.kaldi:
            self.size = next_power(self.window)
            shape, filters = povey(self.window), kaldi_filters(spec.rate, self.size, spec.mels)
        else:
            self.size, filters = mel_filters(spec.rate, self.window, spec.mels)
            shape = unit_hann(self.window)
        self.register_buffer("shape", shape, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wave: Tensor, lengths: Sequence[int]) -> Tensor:
        with full_precision(wave):
            return by_frames(wave.float(), lengths, self.window, self.hop, self._of)

    def _of(self, frames_FW: Tensor) -> Tensor:
        if self.kaldi:
            energy = power(prepared(frames_FW) * self.shape, self.size) @ self.filters
            return (torch.log(energy.clamp(min=FLOOR)) - FBANK_MEAN) / STD
        return (torch.log(power(frames_FW * self.shape, self.size) @ self.filters + FLOOR) - MEAN) / STD


# ---------------------------------------------------------------------------------------------- Kaldi


@lru_cache(maxsize=32)
def kaldi_filters(rate: int, size: int, mels: int, low: float = 20.0) -> Tensor:
    """``[K, M]`` filters that are triangles in mel, from ``low`` Hz to half the rate."""

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log(1.0 + np.asarray(hz) / 700.0)

    points = np.linspace(mel(low), mel(rate / 2), mels + 2)
    found = triangles(points, mel(np.fft.rfftfreq(size, 1 / rate)))
    found[-1] = 0.0  # Kaldi leaves out the last frequency
    return torch.from_numpy(found).float()


def kaldi_fbank(wave: Tensor, lengths: Sequence[int], rate: int, window: int, hop: int, mels: int) -> Tensor:
    """``[F, M]``: log energies as ``compute-fbank-feats`` gives them without dither.

    Of each window the mean is taken off, then 0.97 of the sample before (of the first, of itself), then Povey's window.
    """
    size = next_power(window)
    shape, filters = povey(window).to(wave.device), kaldi_filters(rate, size, mels).to(wave.device)
    energy = by_frames(wave, lengths, window, hop, lambda frames: power(prepared(frames) * shape, size) @ filters)
    return energy.clamp(min=torch.finfo(torch.float32).eps).log()


def povey(window: int) -> Tensor:
    """Kaldi's own window."""
    return torch.hann_window(window, periodic=False).pow(0.85)


def prepared(frames_FW: Tensor) -> Tensor:
    """Frames without their mean, and without 0.97 of the sample before."""
    frames_FW = frames_FW - frames_FW.mean(1, keepdim=True)
    return frames_FW - 0.97 * torch.cat((frames_FW[:, :1], frames_FW[:, :-1]), dim=1)


# ---------------------------------------------------------------------------------------------- cepstra


@lru_cache(maxsize=8)
def cosines(mels: int, count: int) -> Tensor:
    """``[M, count]``: the orthonormal DCT-II."""
    n, k = np.arange(mels), np.arange(count)
    found = np.cos(np.pi / mels * (n[:, None] + 0.5) * k) * math.sqrt(2.0 / mels)
    found[:, 0] /= math.sqrt(2.0)
    return torch.from_numpy(found).float()


def mfcc(log_mel_FM: Tensor, count: int = 13) -> Tensor:
    """``[F, count]``: cepstra of a log-mel spectrogram."""
    return log_mel_FM @ resident(cosines(log_mel_FM.shape[1], count), log_mel_FM.device)


def deltas(x_FC: Tensor, counts: Sequence[int], reach: int = 2) -> Tensor:
    """``[F, C]``: slopes over time within each clip, edges repeated (HTK's regression over ``reach`` frames)."""
    first = numbers(starts(counts), x_FC.device)
    size = numbers(counts, x_FC.device)
    clip = torch.arange(len(counts), device=x_FC.device).repeat_interleave(size, output_size=len(x_FC))
    place, begin, last = torch.arange(len(x_FC), device=x_FC.device), first[clip], (first + size - 1)[clip]
    total = torch.zeros_like(x_FC)
    for step in range(1, reach + 1):
        after, before = torch.minimum(place + step, last), torch.maximum(place - step, begin)
        total = total + step * (x_FC[after] - x_FC[before])
    return total / (2 * sum(step * step for step in range(1, reach + 1)))
