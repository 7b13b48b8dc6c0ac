"""The rows of a batch of text, and what stands at each under a view: shown words, swaps, mask tokens.

# B samples, T packed tokens
"""

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.masks.rows import gather_rows
from unlabeled.transfer import numbers, resident
from unlabeled_text.batch import TextBatch, TextSpec


def layout_of(batch: TextBatch, spec: TextSpec) -> Layout:
    """A row a token; a mask may touch all but the frame and what else is special."""
    count = batch.counts
    place = torch.arange(len(batch.tokens), device=batch.tokens.device)
    place = place - (count.cumsum(0) - count).repeat_interleave(count, output_size=len(place))

    return Layout(batch.lengths, place[:, None], maskable=maskable(batch, spec))


def maskable(batch: TextBatch, spec: TextSpec) -> Rows:
    """The rows that hold no special."""
    # index_select: a sixth of the time of brackets
    plain = resident(spec.plain, batch.tokens.device).index_select(0, batch.tokens)
    running = torch.cat((plain.new_zeros(1, dtype=torch.int64), plain.cumsum(0)))
    end = batch.counts.cumsum(0)
    return gather_rows(plain, tuple((running[end] - running[end - batch.counts]).tolist()))


def words_of(view: View, layout: Layout, mask_id: int | None) -> Tensor:
    """``int64[T]``: what the encoder reads at each row; hidden rows read as the mask token."""
    batch: Any = view.batch
    words: Tensor = batch.tokens if view.shown is None else view.shown
    if view.swap is not None:
        words = words[view.swap]
    if view.hidden is None or mask_id is None:
        return words
    return words.index_fill(0, view.hidden.index, mask_id)


def pool_rows(x_TD: Tensor, layout: Layout, pool: str) -> Tensor:
    """``[B, D]``: the mean of each sample's rows, its first, or its last."""
    if pool == "mean":
        return layout.mean(x_TD)
    place = layout.offsets[:-1] if pool == "first" else [end - 1 for end in layout.offsets[1:]]
    return x_TD[numbers(place, x_TD.device)]
