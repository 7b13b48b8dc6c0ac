"""Features without a model: every table of probes prints them beside the encoder's.

# B samples, L values of the longest sample
"""

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled_timeseries.batch import Spec

BINS = 16


class Spectrum:
    """Power in 16 bands of equal width, from 0 to the highest frequency: ``[B, 16]``, whatever the length."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        return torch.stack([self._bands(x[:n]) for x, n in zip(batch.x, batch.lengths, strict=True)])

    def _bands(self, wave: Tensor) -> Tensor:
        power = torch.fft.rfft(wave).abs().square() / len(wave)
        return torch.nn.functional.adaptive_avg_pool1d(power[None], BINS)[0].log1p()
