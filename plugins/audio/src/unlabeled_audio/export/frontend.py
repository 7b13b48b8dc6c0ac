"""Clips as the encoder read them: waves of one rate, and their spectrogram, by numpy and torch alone.

``read(clip)`` gives the parts of a file (needs soundfile and soxr) or of mono samples at ``rate`` Hz: channels
averaged, or the loudest where they cancel; resampled by soxr; in equal parts where longer than ``segment`` seconds;
of each the middle ``longest`` samples, with mean 0 and variance 1. ``spectrogram(wave)`` cuts windows of ``window``
samples every ``hop``, without padding. ``logmel``: Hann's window, HTK's mel scale, filters with sum 1, power of white
noise at 1, log(power + 1e-5). ``fbank``: Kaldi's, without dither. Both are (log energy - ``mean``) / ``std``. The
numbers stand in ``frontend.json`` beside this file.

    # S samples, F frames, W samples of a window, K frequencies, M mel bands
"""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-5


@cache
def settings() -> dict[str, Any]:
    """The numbers of this encoder."""
    found: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return found


# ---------------------------------------------------------------------------------------------- waves


def read(clip: Any) -> list[Tensor]:
    """``float32[S]`` of each part of a clip, a path or mono samples at the encoder's rate, standardized."""
    if not isinstance(clip, (str, Path)):
        return [prepare(part) for part in parts(np.asarray(clip, dtype=np.float32), settings()["rate"])]
    import soundfile

    x, own = soundfile.read(clip, dtype="float32", always_2d=True)
    return [prepare(resample(to_mono(part), own)) for part in parts(x, own)]


def parts(x: Any, own: int) -> list[Any]:
    """Equal parts of ``x[S, ...]`` at ``own`` Hz, no longer than ``segment`` seconds."""
    count = -int(-len(x) // (settings()["segment"] * own))
    edges = [len(x) * n // count for n in range(count + 1)]
    return [x[a:b] for a, b in pairwise(edges)]


def to_mono(x: Any) -> Any:
    """The mean of the channels of ``x[S, channels]``, or the loudest where they cancel."""
    mean, loudest = x.mean(1), np.abs(x).max(0)
    canceled = float(np.abs(mean).max()) < 0.02 * float(loudest.max()) / x.shape[1]
    return x[:, int(loudest.argmax())] if canceled else mean


def resample(wave: Any, own: int) -> Any:
    """``wave[S]`` at ``own`` Hz -> at the encoder's rate."""
    rate = settings()["rate"]
    if own == rate:
        return wave
    import soxr

    length = -(-len(wave) * rate // own)
    found = soxr.resample(np.ascontiguousarray(wave), own, rate)[:length]
    return np.pad(found, (0, length - len(found)))


def prepare(wave: Any) -> Tensor:
    """The middle of a wave, with mean 0 and variance 1."""
    x = torch.as_tensor(wave, dtype=torch.float32)
    size = min(len(x), settings()["longest"])
    x = x[(first := (len(x) - size) // 2) : first + size]
    centered = x - x.mean()
    return centered * torch.rsqrt(centered.square().mean() + 1e-7)


# ---------------------------------------------------------------------------------------------- spectrogram


def spectrogram(wave: Tensor) -> Tensor:
    """``float32[F, M]``; whole patches of ``patch`` frames, the first filled up with 0, the rest left out."""
    found, window, patch = settings(), settings()["window"], settings()["patch"]
    wave = F.pad(wave, (0, max(0, window - len(wave))))
    frames = wave.unfold(0, window, found["hop"])
    kaldi = found["front"] == "fbank"
    shape, filters = tables()
    if kaldi:
        frames = frames - frames.mean(1, keepdim=True)
        frames = frames - 0.97 * torch.cat((frames[:, :1], frames[:, :-1]), dim=1)
    spectrum = torch.fft.rfft(frames * shape, found["points"])
    power = (spectrum.real.square() + spectrum.imag.square()) @ filters
    power = power.clamp(min=FLOOR) if kaldi else power + FLOOR
    x = (torch.log(power) - found["mean"]) / found["std"]
    return F.pad(x, (0, 0, 0, max(0, patch - len(x))))[: max(1, len(x) // patch) * patch]


@cache
def tables() -> tuple[Tensor, Tensor]:
    """The window ``[W]``, and the filters ``[K, M]``."""
    found = settings()
    rate, mels, place = found["rate"], found["mels"], np.fft.rfftfreq(found["points"], 1 / found["rate"])
    if found["front"] == "fbank":
        points = np.linspace(mel(20.0), mel(rate / 2), mels + 2)
        filters = triangles(points, mel(place))
        filters[-1] = 0.0  # Kaldi leaves out the last frequency
        return torch.hann_window(found["window"], periodic=False).pow(0.85), torch.from_numpy(filters).float()
    points = 700.0 * (10.0 ** (np.linspace(0.0, 2595.0 * np.log10(1 + rate / 1400), mels + 2) / 2595.0) - 1.0)
    filters = triangles(points, place)
    shape = torch.hann_window(found["window"])
    return shape / shape.square().sum().sqrt(), torch.from_numpy(filters / np.maximum(filters.sum(0), 1e-9)).float()


def mel(hz: Any) -> Any:
    """Kaldi's scale."""
    return 1127.0 * np.log(1.0 + np.asarray(hz) / 700.0)


def triangles(points: Any, place: Any) -> Any:
    """``[K, M]``: triangles between ``points[M + 2]``, each 1 at its middle point, seen at ``place[K]``."""
    left, middle, right = points[:-2], points[1:-1], points[2:]
    up = (place[:, None] - left) / (middle - left)
    down = (right - place[:, None]) / (right - middle)
    return np.maximum(0.0, np.minimum(up, down))
