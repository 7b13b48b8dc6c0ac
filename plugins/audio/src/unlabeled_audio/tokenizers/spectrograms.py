"""Continuous content of rows: log-mel and constant-Q spectrograms, at the rate of the encoder's rows.

Where a batch has a ``target`` (the clean speech under a mixture), content is made of that.

    # T packed rows, C numbers of a row
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows
from unlabeled.draw import Draw
from unlabeled.errors import above
from unlabeled.transfer import numbers
from unlabeled_audio.batch import AudioBatch, AudioSpec, starts
from unlabeled_audio.ops.constant_q import constant_q

ALTER = 65001  # the purpose of altered content


class LogMel:
    """The log-mel spectrogram of each row: its patch, or one frame of the samples that it sees."""

    vocabulary = 0

    def __init__(self, spec: AudioSpec, encoder: Any) -> None:
        self.encoder = encoder
        self.width = int(encoder.cell)

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[Tensor, None]:
        return self.encoder.cells(batch, layout), None

    def alter(self, batch: AudioBatch, layout: Layout, rows: Rows, draw: Draw) -> AudioBatch:
        """The batch with other content at ``rows``: other samples, where no other row has them in its window.

        Rows of several mel bands share their samples, so there it is the spectrogram that is altered.
        """
        words = draw.rows(ALTER, layout.group[rows.index], layout.within[rows.index])
        noise = (words[:, None] >> torch.arange(0, 48, 2)).remainder(7).float() - 3.0
        if self.encoder.bands > 1:
            return self.encoder.with_cells(batch, layout, rows, noise)
        first = numbers(starts(batch.lengths), batch.wave.device)[layout.group]
        first = first + layout.position[:, 0] * self.encoder.stride
        index = first[:, None] + torch.arange(self.encoder.window, device=first.device)
        touched = torch.zeros(2, len(batch.wave) + self.encoder.window, dtype=torch.bool, device=first.device)
        touched[0, index[rows.index]] = True
        touched[1, index[rows.complement(layout).index]] = True
        only = (touched[0] & ~touched[1])[: len(batch.wave)]
        other = torch.sin(noise.sum() + torch.arange(len(batch.wave), device=first.device).float().square())
        return replace(batch, wave=torch.where(only, other, batch.wave))


class ConstantQ:
    """Constant-Q spectrogram around the middle of each row, log magnitudes, as MERT reconstructs (2306.00107).

    Args:
        low: lowest tone in Hz; 0 = 32.7 (C1) from 16 kHz on, else 65.4 (C2).
        bins: tones; 0 = as many as lie below half the rate, at most 336.
        octave: tones an octave.
    """

    vocabulary = 0

    def __init__(self, spec: AudioSpec, encoder: Any, *, low: float = 0.0, bins: int = 0, octave: int = 48) -> None:
        above(0, octave=octave)
        self.low = low or (32.703 if spec.rate >= 16000 else 65.406)
        most = int(octave * torch.log2(torch.tensor(0.49 * spec.rate / self.low)).item())
        if self.low < 0 or not 0 <= bins <= most:
            raise ValueError(f"low {low} Hz and {bins} bins: at {spec.rate} Hz there are at most {most} from there up")
        self.spec, self.encoder, self.octave = spec, encoder, octave
        self.width = bins or min(336, most)

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[Tensor, None]:
        steps = [n // self.encoder.bands for n in layout.lengths]
        middle, tones = self.encoder.window // 2, (self.spec.rate, self.low, self.width, self.octave)
        found = constant_q(batch.source, batch.lengths, steps, middle, self.encoder.stride, *tones)
        first = numbers(starts(steps), found.device)[layout.group]
        return torch.log1p(100.0 * found)[first + layout.position[:, 0]], None
