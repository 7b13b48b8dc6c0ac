"""The units that encoder ``units`` reads, as targets."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from unlabeled.contract import Data, Layout
from unlabeled.errors import above
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.encoders.units import UnitTransformer


class Heard:
    """The units that encoder ``units`` reads, as targets.

    Args:
        frames: rows that k-means units are learned from at most.
    """

    width = 0

    def __init__(self, spec: AudioSpec, encoder: Any, *, frames: int = 200000) -> None:
        above(0, frames=frames)
        if not isinstance(encoder, UnitTransformer):
            raise ValueError(f"tokenizer heard gives what encoder units reads, and this is {type(encoder).__name__}")
        self.encoder, self.frames, self.vocabulary = encoder, frames, encoder.vocabulary

    def fit(self, data: Data, seed: int) -> None:
        """Learn the encoder's units."""
        self.encoder.fit(data, seed, self.frames)

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[None, Tensor]:
        clean = batch if batch.target is None else replace(batch, wave=batch.target, target=None)
        ids = self.encoder.codes(clean, layout)
        return None, ids[:, 0] if self.encoder.books == 1 else ids
