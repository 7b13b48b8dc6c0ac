"""Patches: the values of each row, as masked objectives reconstruct them.

# B samples, T packed rows, C values of a patch
"""

from typing import Any

from torch import Tensor

from unlabeled.contract import Layout
from unlabeled_timeseries.batch import Spec, WaveBatch


class Patches:
    """Values of each of the encoder's rows; no discrete ids."""

    vocabulary = 0

    def __init__(self, spec: Spec, encoder: Any) -> None:
        self.width = int(encoder.patch)

    def __call__(self, batch: WaveBatch, layout: Layout) -> tuple[Tensor, None]:
        return layout.pack(batch.x.unflatten(1, (-1, self.width))), None
