"""One audio file: its header, and a stretch of it as mono samples at the rate that is wanted.

``soundfile`` (libsndfile) reads WAV, FLAC, OGG and MP3 by content, whatever the name says. Only the stretch that is
asked for is decoded. ``torchaudio`` resamples; where its extension cannot load, scipy does, by a filter of its own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any, BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from unlabeled.data.readable import SampleError

SHORTEST = 0.05  # seconds; less holds no two frames
SILENT = 1e-6  # greatest magnitude of a file that says nothing


@dataclass(frozen=True)
class Header:
    """``frames`` are samples a channel."""

    rate: int
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def read_header(file: BinaryIO, size: int) -> Header:
    """What the header says; :class:`SampleError` where the file is none, is empty, or is cut short."""
    _check_riff(file, size)
    try:
        found = soundfile.info(file)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError) as error:
        raise SampleError(_reason(error)) from error
    header = Header(int(found.samplerate), int(found.frames), int(found.channels))
    if header.rate < 1 or header.frames < 1:
        raise SampleError("no samples")
    if header.seconds < SHORTEST:
        raise SampleError(f"{1000 * header.seconds:.0f} ms long, and {1000 * SHORTEST:.0f} are the least")
    return header


def _check_riff(file: BinaryIO, size: int) -> None:
    """libsndfile reads a cut WAV without a word: its own size field gives it away."""
    head = file.read(8)
    file.seek(0)
    if len(head) == 8 and head[:4] == b"RIFF":
        claimed = struct.unpack("<I", head[4:])[0] + 8
        if size + 1 < claimed < 0xFFFFFF00:  # streams write the greatest number, or 8
            raise SampleError(f"cut short: {size} of {claimed} bytes")


def decode(file: BinaryIO, rate: int, first: int = 0, count: int = -1) -> Tensor:
    """``float32[n]``: samples ``first`` to ``first + count`` (of the file's own rate), mono, at ``rate``."""
    try:
        with soundfile.SoundFile(file) as sound:
            count = sound.frames - first if count < 0 else count
            if first:
                sound.seek(first)
            x = sound.read(count, dtype="float32", always_2d=True)
            own = int(sound.samplerate)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError) as error:
        raise SampleError(_reason(error)) from error
    if len(x) < count:
        raise SampleError(f"cut short: {first + len(x)} of {first + count} samples")
    if not np.isfinite(x).all():
        raise SampleError("holds values that are no numbers")
    mono = x[:, 0] if x.shape[1] == 1 else x.mean(1)
    if float(np.abs(mono).max(initial=0.0)) < SILENT:
        raise SampleError("silent")
    return resample(torch.from_numpy(np.ascontiguousarray(mono)), own, rate)


def _reason(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return (text.rpartition(": ")[2] or type(error).__name__).lower()


def resampled(samples: int, own: int, rate: int) -> int:
    """How many samples :func:`resample` gives."""
    return -(-samples * rate // own)


def resample(wave: Tensor, own: int, rate: int) -> Tensor:
    """``wave[n]`` at ``own`` Hz -> at ``rate`` Hz, band-limited."""
    if own == rate:
        return wave
    library = torchaudio()
    if library is not None:
        found: Tensor = library.functional.resample(wave, own, rate)
        return found
    from scipy.signal import resample_poly

    common = gcd(own, rate)
    return torch.from_numpy(resample_poly(wave.numpy(), rate // common, own // common).astype(np.float32))


@cache
def torchaudio() -> Any:
    """The library, or None: its wheel does not load beside a torch without CUDA libraries."""
    try:
        import torchaudio as library
        import torchaudio.functional
    except (ImportError, OSError):
        return None
    return library
