"""Rows that a mask hides: which ones the loss is about, and the whole sequence again after they were dropped.

# T packed rows, H hidden rows that are predicted, D features
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.contract import Rows, View


def target_rows(view: View) -> Tensor:
    """``int64[H]``: the rows where the loss applies, set after set."""
    assert view.targets, "the mask set no rows"
    return torch.cat([rows.index for rows in view.targets])


def restore(tokens: Tensor, kept: Rows | None, token_D: Tensor, total: int) -> Tensor:
    """The whole sequence ``[T, D]``: ``tokens`` at the rows that were kept, ``token_D`` at those that were dropped."""
    if kept is None:
        return tokens
    whole = token_D.to(tokens.dtype).expand(total, -1)
    return whole.index_copy(0, kept.index, tokens)
