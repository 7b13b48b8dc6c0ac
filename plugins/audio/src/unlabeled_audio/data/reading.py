"""One audio file: its header, and a stretch of it as mono samples at the rate that is wanted.

``soundfile`` (libsndfile) reads WAV, FLAC, OGG and MP3 by content, whatever the name says. Only the stretch that is
asked for is decoded. ``soxr`` resamples, on every machine: features do not depend on what else is installed.
"""

import struct
from dataclasses import dataclass
from io import SEEK_END
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from unlabeled.data.readable import SampleError
from unlabeled_audio.data.streamed import filled

SHORTEST = 0.05  # seconds; less holds no two frames
LOWEST = 100  # Hz; a header that says less would make hours of a few bytes
CANCELED = 0.02  # of the sum of channels, against the loudest: less is what rounding left
LIKELY = 100  # samples a byte; one that compresses more is silence, or its header lies


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
    """What the header says; :class:`SampleError` where the file is none, is empty, is cut short, or claims too much."""
    file = filled(file, size)
    _check_riff(file, size)
    try:
        with soundfile.SoundFile(file) as sound:
            header = Header(int(sound.samplerate), int(sound.frames), int(sound.channels))
            _check_claim(sound, header, size)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError) as error:
        raise SampleError(_reason(error)) from error
    if header.rate < 1 or header.frames < 1:
        raise SampleError("no samples")
    if header.rate < LOWEST:
        raise SampleError(f"its header claims {header.rate} samples a second, and {LOWEST} are the least")
    if header.seconds < SHORTEST:
        raise SampleError(f"{1000 * header.seconds:.0f} ms long, and {1000 * SHORTEST:.0f} are the least")
    return header


def _check_claim(sound: Any, header: Header, size: int) -> None:
    """More samples than so few bytes are likely to hold: the last is looked for."""
    if header.frames <= LIKELY * size:
        return
    try:
        sound.seek(header.frames - 1)
        found = len(sound.read(1))
    except (soundfile.LibsndfileError, RuntimeError):
        found = 0
    if not found:
        raise SampleError(f"its header claims {header.frames:,} samples, and {size:,} bytes do not hold them")


def _check_riff(file: BinaryIO, size: int) -> None:
    """libsndfile reads a cut WAV without a word: its own size field gives it away."""
    head = file.read(8)
    file.seek(0)
    if len(head) == 8 and head[:4] == b"RIFF":
        claimed = struct.unpack("<I", head[4:])[0] + 8
        if size + 1 < claimed < 0xFFFFFF00:
            raise SampleError(f"cut short: {size} of {claimed} bytes")


def decode(file: BinaryIO, rate: int, first: int = 0, count: int = -1) -> Tensor:
    """``float32[n]``: samples ``first`` to ``first + count`` (of the file's own rate), mono, at ``rate``."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    try:
        with soundfile.SoundFile(filled(file, size)) as sound:
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
    return resample(torch.from_numpy(np.ascontiguousarray(to_mono(x))), own, rate)


def to_mono(x: Any) -> Any:
    """The mean of the channels of ``x[n, channels]``, or the loudest where they cancel: some recorders negate one."""
    mean, loudest = x.mean(1), np.abs(x).max(0)
    if float(np.abs(mean).max()) < CANCELED * float(loudest.max()) / x.shape[1]:
        return x[:, int(loudest.argmax())]
    return mean


def _reason(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return (text.rpartition(": ")[2] or type(error).__name__).lower()


def resampled(samples: int, own: int, rate: int) -> int:
    """How many samples :func:`resample` gives."""
    return -(-samples * rate // own)


def resample(wave: Tensor, own: int, rate: int) -> Tensor:
    """``wave[n]`` at ``own`` Hz -> at ``rate`` Hz, band-limited, in memory of the order of the clip's."""
    if own == rate:
        return wave
    found = soxr.resample(wave.numpy(), own, rate)[: (length := resampled(len(wave), own, rate))]
    return torch.from_numpy(np.pad(found, (0, length - len(found))))
