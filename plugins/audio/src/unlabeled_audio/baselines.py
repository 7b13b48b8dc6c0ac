"""Features without a model, of the clean clip: statistics of log-mel and MFCC frames, and log-mel over eight segments.

They are hard to beat on small sets of short words: a filter bank is nearly enough where speakers repeat.

    # B clips, F frames of all clips, M mel bands
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import View
from unlabeled.errors import above
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.ops.frontends import mfcc, spectrogram


def frames_of(view: View, spec: AudioSpec) -> tuple[Tensor, tuple[int, ...]]:
    """``log_mel[F, M]`` of a view's clips, and the frames of each."""
    batch: Any = view.batch
    counts = tuple(spec.frames(n) for n in batch.lengths)
    return spectrogram(batch.wave, batch.lengths, spec), counts


def mean_and_deviation(x_FM: Tensor, counts: tuple[int, ...]) -> Tensor:
    """``[B, 2 M]``: mean and (biased) deviation over the frames of each clip."""
    parts = x_FM.split(counts)
    return torch.stack([torch.cat((part.mean(0), part.std(0, correction=0))) for part in parts])


def segments(x_FM: Tensor, counts: tuple[int, ...], count: int) -> Tensor:
    """``[B, count * M]``: means of each clip's frames over ``count`` equal parts of its time."""
    return torch.stack([F.adaptive_avg_pool1d(part.T, count).T.flatten() for part in x_FM.split(counts)])


class LogMelStatistics:
    """Mean and deviation of the log-mel frames: ``[B, 2 mels]``."""

    def __init__(self, spec: AudioSpec) -> None:
        self.spec = spec

    def __call__(self, view: View) -> Tensor:
        return mean_and_deviation(*frames_of(view, self.spec))


class MFCCStatistics:
    """Mean and deviation of the MFCC: ``[B, 2 count]``.

    Args:
        count: coefficients a frame, the first included.
    """

    def __init__(self, spec: AudioSpec, *, count: int = 20) -> None:
        if not 1 <= count <= spec.mels:
            raise ValueError(f"count is {count}; {spec.mels} mel bands have 1 to {spec.mels} coefficients")
        self.spec, self.count = spec, count

    def __call__(self, view: View) -> Tensor:
        x_FM, counts = frames_of(view, self.spec)
        return mean_and_deviation(mfcc(x_FM, self.count), counts)


class LogMelSegments:
    """Means of the log-mel frames over equal parts of the clip: ``[B, count * mels]``.

    Args:
        count: number of parts.
    """

    def __init__(self, spec: AudioSpec, *, count: int = 8) -> None:
        above(0, count=count)
        self.spec, self.count = spec, count

    def __call__(self, view: View) -> Tensor:
        return segments(*frames_of(view, self.spec), self.count)
