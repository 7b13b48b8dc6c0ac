"""Packed rows: which there are (``Layout``) and subsets of them (``Rows``). Part of the contract; knows nothing else.

    # G groups (one group per image, clip, graph), T packed rows of all groups, L rows of the longest group, D features,
    # H rows of a subset, P coordinates of a position

Lengths live on the host, so that nothing here waits for an accelerator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from unlabeled.transfer import numbers

Value = TypeVar("Value")


class computed_once(Generic[Value]):
    """``functools.cached_property`` without the lock that it has before Python 3.12, which breaks ``torch.compile``."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute, self.name, self.__doc__ = compute, compute.__name__, compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Value:
        value = self.compute(instance)
        if not torch.compiler.is_compiling():
            instance.__dict__[self.name] = value  # found before this descriptor from now on
        return value


@dataclass(frozen=True)
class Rows:
    """A subset of the T rows: sorted ``index[H]``, and on the host how many fall in each group.

    >>> rows = Rows(torch.tensor([0, 3]), (1, 1))
    >>> rows.flags(5)
    tensor([ True, False, False,  True, False])
    """

    index: Tensor
    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        assert sum(self.lengths) == self.index.numel(), (sum(self.lengths), self.index.shape)

    def __len__(self) -> int:
        return self.index.numel()

    def flags(self, total: int) -> Tensor:
        """bool[T], True at these rows."""
        out = torch.zeros(total, dtype=torch.bool, device=self.index.device)
        return out.index_fill_(0, self.index, True)

    def complement(self, layout: Layout) -> Rows:
        """The rows of ``layout`` that are not in this subset."""
        lengths = tuple(n - h for n, h in zip(layout.lengths, self.lengths, strict=True))
        # argsort of the flags, not nonzero: the count is known on the host, so an accelerator need not be waited for
        order = torch.argsort(self.flags(layout.total).to(torch.uint8), stable=True)
        return Rows(order[: sum(lengths)], lengths)

    def groups(self, start: int, stop: int, layout: Layout) -> Rows:
        """The part that falls in groups ``start:stop``, numbered from the first row of ``start``."""
        begin, end = sum(self.lengths[:start]), sum(self.lengths[:stop])
        return Rows(self.index[begin:end] - layout.offsets[start], self.lengths[start:stop])


@dataclass(frozen=True)
class Layout:
    """Structure of the T token rows, known before any forward pass.

    Args:
        lengths: rows of each group, on the host; their sum is T.
        position: ``[T, P]`` coordinates: P = 0 graph, 1 sequence, 2 or 3 grid.
        grid: the dense grid, where all groups share one and hold it whole.
        edges: ``[2, E]`` into the rows.
        seeds: ``[B]`` rows that are the samples (node level); None where a sample is a group.
        maskable: rows that a mask may touch; None means all.
        address: ``int64[T]`` id that each row draws by, where rows and not groups are the samples: the row's node in
            the data set, so that a node draws the same whichever nodes are the samples of a batch.

    >>> layout = Layout((2, 3), torch.arange(5)[:, None])
    >>> layout.total, layout.group
    (5, tensor([0, 0, 1, 1, 1]))
    """

    lengths: tuple[int, ...]
    position: Tensor
    grid: tuple[int, ...] | None = None
    edges: Tensor | None = None
    seeds: Tensor | None = None
    maskable: Rows | None = None
    address: Tensor | None = None

    def __post_init__(self) -> None:
        assert sum(self.lengths) == self.position.shape[0], (sum(self.lengths), self.position.shape)

    @property
    def total(self) -> int:
        """T, the number of rows."""
        return self.position.shape[0]

    @computed_once
    def offsets(self) -> tuple[int, ...]:
        """First row of each group, and T: G + 1 numbers."""
        return tuple(accumulate(self.lengths, initial=0))

    @property
    def equal(self) -> bool:
        """Whether all groups have the same number of rows, so that dense is a view."""
        return len(set(self.lengths)) <= 1

    @computed_once
    def counts(self) -> Tensor:
        """int64[G], the lengths on the device of the rows."""
        return numbers(self.lengths, self.position.device)

    @computed_once
    def group(self) -> Tensor:
        """int64[T], the group of each row."""
        device = self.position.device
        if len(self.lengths) == 1:
            return torch.zeros(self.total, dtype=torch.int64, device=device)
        return torch.arange(len(self.lengths), device=device).repeat_interleave(self.counts, output_size=self.total)

    @computed_once
    def within(self) -> Tensor:
        """int64[T], the place of each row in its group."""
        starts = self.counts.cumsum(0) - self.counts
        return torch.arange(self.total, device=self.position.device) - starts[self.group]

    @computed_once
    def _slot(self) -> Tensor:
        return self.group * max(self.lengths, default=0) + self.within

    def dense(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """``x[T, ...] -> [G, L, ...]`` and ``pad[G, L]`` (True = padding), None where lengths are equal."""
        count, longest = len(self.lengths), max(self.lengths, default=0)
        if self.equal:
            # not by their count: a traced graph takes as many groups as come
            return (x.unflatten(0, (-1, longest)) if longest else x.reshape(count, 0, *x.shape[1:])), None
        out = x.new_zeros(count * longest, *x.shape[1:]).index_copy(0, self._slot, x)
        pad = torch.arange(longest, device=x.device)[None] >= self.counts[:, None]
        return out.reshape(count, longest, *x.shape[1:]), pad

    def pack(self, x: Tensor) -> Tensor:
        """``x[G, L, ...] -> [T, ...]``: padding is left behind."""
        flat = x.flatten(0, 1)
        return flat if self.equal else flat.index_select(0, self._slot)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of ``x[T, D]`` over the rows of each group: ``[G, D]``."""
        if self.equal:
            return self.dense(x)[0].mean(1)
        rows = x if x.dtype == torch.float64 else x.float()  # a device adds halves in halves: 1,000 of 0.5 are 0.256
        total = rows.new_zeros(len(self.lengths), *x.shape[1:]).index_add(0, self.group, rows)
        return (total / self.counts.clamp(min=1)[:, None]).to(x.dtype)

    def select(self, index: Tensor, lengths: tuple[int, ...]) -> Layout:
        """The sub-layout of rows ``index[H]`` (sorted), with the edges among them."""
        new = torch.full((self.total,), -1, dtype=torch.int64, device=index.device)
        new[index] = torch.arange(index.numel(), device=index.device)
        edges = self.edges
        if edges is not None:
            edges = new[edges]
            edges = edges[:, (edges >= 0).all(0)]
        maskable = self.maskable
        if maskable is not None:
            kept = new[maskable.index]
            kept = kept[kept >= 0]
            counts = torch.bincount(self.group[index[kept]], minlength=len(lengths))
            maskable = Rows(kept, tuple(counts.tolist()))
        seeds = None if self.seeds is None else new[self.seeds]
        address = None if self.address is None else self.address[index]
        return Layout(lengths, self.position[index], None, edges, seeds, maskable, address)

    def groups(self, start: int, stop: int) -> Layout:
        """The layout of groups ``start:stop`` alone; of groups with seeds, those that have one each."""
        if self.seeds is not None and len(self.seeds) != len(self.lengths):
            raise TypeError("seeds that share a group cannot be taken apart")
        begin, end = self.offsets[start], self.offsets[stop]
        edges = self.edges
        if edges is not None:
            edges = edges[:, (edges[1] >= begin) & (edges[1] < end)] - begin
        return Layout(
            self.lengths[start:stop],
            self.position[begin:end],
            self.grid,
            edges,
            None if self.seeds is None else self.seeds[start:stop] - begin,
            None if self.maskable is None else self.maskable.groups(start, stop, self),
            None if self.address is None else self.address[begin:end],
        )

    @property
    def all(self) -> Rows:
        """Every row."""
        return Rows(torch.arange(self.total, device=self.position.device), self.lengths)
