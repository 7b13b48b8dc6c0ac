"""The spec that every part is wired with, and batches of waveforms of different lengths.

# B samples of a batch, L values of the longest of them
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unlabeled.data.batch import MovableBatch


@dataclass(frozen=True)
class Spec:
    """What views, tokenizer and encoder are wired with.

    Args:
        step: every length is cut to a multiple of it, so that patches of 2, 4 or 8 values fill a sample.
        shortest: values of the shortest sample; crops have as many, so that all of a batch are equal.
    """

    step: int = 8  # a spec's defaults are literals, like those of settings
    shortest: int = 48


@dataclass(frozen=True)
class WaveBatch(MovableBatch):
    """``x[B, L]`` float32, zeros after the ``lengths[b]`` values of each; ``ids[B]`` are indices of the data set."""

    ids: Tensor
    x: Tensor
    lengths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, samples: slice) -> WaveBatch:
        lengths = self.lengths[samples]  # cut to the longest that is left: as if they had been loaded alone
        return WaveBatch(self.ids[samples], self.x[samples, : max(lengths, default=0)], lengths)
