"""Exact counts of packed rows, by random keys: the pieces that masks of every layout are made of.

Rows are addressed by (sample id, place in the sample), so a sample is masked alike in any batch, order or rank; the
counts are known on the host, so nothing waits for an accelerator.

    # B samples, G groups, T packed rows, L rows of the longest group, H chosen rows
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.transfer import numbers, send, which

_LAST = torch.iinfo(torch.int64).max


def layout_of(view: View) -> Layout:
    """The layout, which an encoder gives a view before it is masked."""
    assert view.layout is not None, "a mask needs the view's layout"
    return view.layout


def touchable(layout: Layout) -> tuple[int, ...]:
    """How many rows of each group a mask may touch."""
    return layout.lengths if layout.maskable is None else layout.maskable.lengths


def check_share(**settings: float) -> None:
    """``ValueError`` for a share of rows that is none or all: for constructors."""
    for name, value in settings.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}; it must lie between 0 and 1, both excluded")


def share(ratio: float, lengths: Sequence[int]) -> tuple[int, ...]:
    """``ratio`` of each length, rounded; of two rows or more at least one, and never all of them."""
    return tuple(max(min(max(round(ratio * n), 1), n - 1), 0) for n in lengths)


def keys(layout: Layout, draw: Draw, purpose: int = Purpose.MASK) -> Tensor:
    """``int64[T]``: a random word for each row, addressed by its sample's id and its place in the sample.

    Where rows are the samples, by the row's own id.
    """
    if layout.address is not None:
        return replace(draw, ids=layout.address).words(1, purpose)[:, 0]
    if layout.seeds is None:
        return draw.rows(purpose, layout.group, layout.within)
    if len(layout.seeds) != layout.total:
        raise TypeError(
            f"{layout.total} rows but {len(layout.seeds)} of them are samples: the other rows have no id to draw by"
        )
    sample = torch.empty_like(layout.seeds)
    sample[layout.seeds] = torch.arange(layout.total, device=sample.device)
    return draw.rows(purpose, sample, torch.zeros_like(sample))


def choose(keys_T: Tensor, layout: Layout, counts: Sequence[int]) -> Rows:
    """The ``counts[g]`` maskable rows of each group with the smallest int64 keys, first row first among equals."""
    counts = tuple(counts)
    limits = touchable(layout)
    assert all(c <= n for c, n in zip(counts, limits, strict=True)), (counts, limits)
    keys_T = keys_T >> 1  # leaves the greatest value to the rows that must not be chosen
    if layout.maskable is not None:
        keys_T = keys_T.masked_fill(~layout.maskable.flags(layout.total), _LAST)
    keys_GL, pad_GL = layout.dense(keys_T)
    if pad_GL is not None:
        keys_GL = keys_GL.masked_fill(pad_GL, _LAST)
    return gather_rows(layout.pack(smallest(keys_GL, counts)), counts)


def smallest(keys_GL: Tensor, counts: tuple[int, ...]) -> Tensor:
    """``bool[G, L]``: the ``counts[g]`` smallest of each row of keys, the first among equals."""
    if keys_GL.device.type == "cpu" and keys_GL.shape[1]:
        # up to the count-th key: no argsort is needed unless that key stands twice, and NumPy sorts five times as fast
        flags_GL = (keys_GL <= _bounds(keys_GL, counts)) & (_column(counts, keys_GL) > 0)
        if int(flags_GL.sum()) == sum(counts):
            return flags_GL
    order_GL = torch.argsort(keys_GL, dim=1, stable=True)
    chosen_GL = torch.arange(keys_GL.shape[1], device=keys_GL.device) < _column(counts, keys_GL)
    return torch.zeros_like(chosen_GL).scatter_(1, order_GL, chosen_GL)


def _bounds(keys_GL: Tensor, counts: tuple[int, ...]) -> Tensor:
    """``[G, 1]``: the greatest of the ``counts[g]`` smallest keys of each row."""
    if len(set(counts)) == 1:  # found in half the time of a sort
        return keys_GL.kthvalue(max(counts[0], 1), dim=1, keepdim=True).values
    last = np.maximum(np.array(counts, dtype=np.int64) - 1, 0)
    return torch.from_numpy(np.take_along_axis(np.sort(keys_GL.numpy(), axis=1), last[:, None], axis=1))


def gather_rows(flags_T: Tensor, lengths: Sequence[int]) -> Rows:
    """Rows from ``flags_T`` (True = in the subset), of which the host knows how many fall in each group."""
    return Rows(which(flags_T, sum(lengths)), tuple(lengths))


def _column(counts: Sequence[int], like: Tensor) -> Tensor:
    return numbers(counts, like.device).reshape(-1, 1)


class ShareMask:
    """Hides an exact share of every group: the rows that come first in the order that a subclass gives them."""

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, ratio: float) -> None:
        check_share(ratio=ratio)
        self.ratio = ratio

    def order(self, layout: Layout, draw: Draw) -> Tensor:
        """``int64[T]``: the key of each row, of which the lowest bit does not count; the smallest are hidden."""
        raise NotImplementedError

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        keys_T = self.order(layout, draw)
        if keys_T.device != layout.position.device:
            keys_T = send([keys_T], layout.position.device)[0]
        return replace(view, hidden=choose(keys_T, layout, share(self.ratio, touchable(layout))))
