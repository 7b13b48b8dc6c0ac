"""Token ids of each row: what masked and replaced-token objectives predict or judge.

# T packed rows
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows
from unlabeled.draw import Draw, Purpose
from unlabeled_text.batch import TextBatch, TextSpec


class Words:
    """The batch's own token ids; no continuous content."""

    width = 0

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec
        self.vocabulary = spec.vocabulary

    def __call__(self, batch: Any, layout: Layout) -> tuple[None, Tensor]:
        return None, batch.tokens

    def alter(self, batch: TextBatch, layout: Layout, rows: Rows, draw: Draw) -> TextBatch:
        """The batch with another ordinary word at each of ``rows``."""
        ordinary = self.spec.ordinary.to(batch.tokens.device)
        words = draw.rows(Purpose.MASK_FILL, layout.group, layout.within) & 0xFFFFFFFF
        other = ordinary[(words * len(ordinary)) >> 32]
        other = torch.where(other == batch.tokens, ordinary[((words * len(ordinary) >> 32) + 1) % len(ordinary)], other)
        return replace(batch, tokens=batch.tokens.index_copy(0, rows.index, other[rows.index]))
