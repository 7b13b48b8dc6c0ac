"""Continuous content of rows: log-mel and constant-Q spectrograms, at the rate of the encoder's rows.

Where a batch has a ``target`` (the clean speech under a mixture), content is made of that.

    # T packed rows, C numbers of a row
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.errors import above
from unlabeled_audio.batch import AudioBatch, AudioSpec, starts
from unlabeled_audio.frontends import constant_q


class LogMel:
    """The log-mel spectrogram of each row: its patch, or one frame of the samples that it sees."""

    vocabulary = 0

    def __init__(self, spec: AudioSpec, encoder: Any) -> None:
        self.encoder = encoder
        self.width = int(encoder.cell)

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[Tensor, None]:
        return self.encoder.cells(batch, layout), None


class ConstantQ:
    """Constant-Q spectrogram around the middle of each row, log magnitudes, as MERT reconstructs (2306.00107).

    Args:
        low: lowest tone in Hz; 0 = 32.7 (C1) from 16 kHz on, else 65.4 (C2).
        bins: tones; 0 = as many as lie below half the rate, at most 336.
        octave: tones an octave.
    """

    vocabulary = 0

    def __init__(self, spec: AudioSpec, encoder: Any, *, low: float = 0.0, bins: int = 0, octave: int = 24) -> None:
        above(0, octave=octave)
        self.low = low or (32.703 if spec.rate >= 16000 else 65.406)
        most = int(octave * torch.log2(torch.tensor(0.49 * spec.rate / self.low)).item())
        if self.low < 0 or not 0 <= bins <= most:
            raise ValueError(f"low {low} Hz and {bins} bins: at {spec.rate} Hz there are at most {most} from there up")
        self.spec, self.encoder, self.octave = spec, encoder, octave
        self.width = bins or min(336, most)

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[Tensor, None]:
        first = torch.tensor(starts(batch.lengths), device=batch.wave.device)[layout.group]
        center = first + layout.position[:, 0] * self.encoder.stride + self.encoder.window // 2
        found = constant_q(
            batch.source, batch.lengths, center, layout.group, self.spec.rate, self.low, self.width, self.octave
        )
        return torch.log1p(100.0 * found), None
