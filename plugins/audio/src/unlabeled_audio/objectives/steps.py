"""What objectives share: draws that follow from (step, sample, place) and from nothing else, and a recorder.

A sample meets the same negatives and Gumbel noise whatever the batch, the rank or a resume (``unlabeled.draw``).

    # B samples, n numbers a sample
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unlabeled.contract import Layout, View
from unlabeled.draw import GOLDEN, Draw, mix64

NEGATIVES, GUMBEL, ENTRIES = 1100, 1101, 1102  # purposes


def draw_at(step: Tensor, ids: Tensor, view: int = 0) -> Draw:
    """The draws of samples ``ids[B]`` at training step ``step[]``, which stays on its device."""
    # the step goes into the sample's key, not into Draw.epoch: reading it there would wait for an accelerator
    return Draw(0, 0, mix64(ids + step * GOLDEN), view)


def row_keys(step: Tensor, ids: Tensor, layout: Layout, number: int = 0) -> Tensor:
    """``int64[T]``: a random word for each row of clips ``ids[B]``."""
    return draw_at(step, ids, number).rows(ENTRIES, layout.group, layout.within)


class Recorder:
    """The encoder, which also keeps the pooled features that it gives: for a second loss beside an objective's own."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.pooled: list[Tensor] = []

    def __call__(self, view: View, **options: Any) -> Any:
        features = self._encoder(view, **options)
        self.pooled.append(features.pooled)
        return features
