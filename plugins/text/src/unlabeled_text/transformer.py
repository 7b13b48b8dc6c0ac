"""Any encoder of transformers as an encoder here, in buckets of like lengths.

# B samples, T packed rows, n samples of a bucket, L its longest, D features
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled_text.batch import TextSpec


def padded_forward(model: Any, batch: Any, layout: Layout, spec: TextSpec) -> Tensor:
    """``[T, D]``: last hidden states of a model of transformers, called as its users do: padded, with a mask."""
    ids, pad = layout.dense(batch.tokens)
    mask = torch.ones_like(ids) if pad is None else (~pad).long()
    if pad is not None and spec.pad is not None:
        ids = ids.masked_fill(pad, spec.pad)
    return layout.pack(model(input_ids=ids, attention_mask=mask).last_hidden_state)
