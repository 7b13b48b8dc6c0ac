"""Compressed sparse rows in plain torch: bags of words that stay sparse, and sums over the neighbors of a node.

One product serves both: ``out[t] = sum over entries e of row t: values[e] * dense[columns[e]]``. It runs as torch's
``embedding_bag``, forward and backward, and never holds a row for each entry: of Cora's words 1.27 % are not 0, so the
first layer costs 1 / 79 of the dense product, and messages along E edges cost no E x D memory.

    # T rows, F columns, N entries, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from unlabeled.contract import computed_once
from unlabeled.transfer import tally

CHUNK = 1 << 22  # numbers held at once for the gradient of values


def offsets_of(rows_N: Tensor, total: int) -> Tensor:
    """``int64[total + 1]``: where the entries of each row begin, for sorted ``rows[N]``."""
    counts = tally(rows_N, total)
    return F.pad(counts.cumsum(0), (1, 0))


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where a sparse matrix ``[T, width]`` has entries: row by row, ``columns`` ascending or not.

    ``symmetric`` promises that the transposed matrix has the same pattern *and values*, so that none is made.
    """

    offsets: Tensor  # int64[T + 1]
    columns: Tensor  # int64[N]
    width: int
    symmetric: bool = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @computed_once
    def rows(self) -> Tensor:
        """``int64[N]``, the row of each entry."""
        counts = self.offsets.diff()
        return torch.arange(len(self), device=counts.device).repeat_interleave(counts, output_size=len(self.columns))

    @computed_once
    def transposed(self) -> tuple[Pattern, Tensor | None]:
        """The pattern of the transposed matrix, and which entry of this one each of its entries is (None = same)."""
        if self.symmetric:
            return self, None
        order = torch.argsort(self.columns, stable=True)
        offsets = offsets_of(self.columns, self.width)
        return Pattern(offsets, self.rows[order], len(self)), order

    def to(self, device: torch.device | str) -> Pattern:
        return Pattern(self.offsets.to(device), self.columns.to(device), self.width, self.symmetric)


def _bag(pattern: Pattern, values_N: Tensor | None, dense: Tensor) -> Tensor:
    values = None if values_N is None else values_N.to(dense.dtype)
    return F.embedding_bag(
        pattern.columns, dense, pattern.offsets, mode="sum", per_sample_weights=values, include_last_offset=True
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_N: Tensor, dense: Tensor, pattern: Pattern) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(values_N, dense)
        return _bag(pattern, values_N, dense.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values_N, dense = ctx.saved_tensors
        grad, of_values, of_dense = grads[0].contiguous(), None, None
        if ctx.needs_input_grad[0]:
            of_values = entry_dots(ctx.pattern, grad, dense).to(values_N.dtype)
        if ctx.needs_input_grad[1]:
            turned, order = ctx.pattern.transposed
            of_dense = _bag(turned, values_N if order is None else values_N[order], grad)
        return of_values, of_dense, None


def entry_dots(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    """``[N]``: for each entry, the product of its row in ``left[T, D]`` with its column in ``right[width, D]``."""
    step = max(1, CHUNK // max(1, left.shape[1]))
    parts = [
        torch.linalg.vecdot(left[rows], right[columns])
        for rows, columns in zip(pattern.rows.split(step), pattern.columns.split(step))
    ]
    return torch.cat(parts) if parts else left.new_zeros(0)


def product(pattern: Pattern, values_N: Tensor, dense: Tensor) -> Tensor:
    """``[T, D]``: the sparse matrix times ``dense[width, D]``, differentiable in values and in ``dense``."""
    if not torch.is_grad_enabled() or not (values_N.requires_grad or dense.requires_grad):
        return _bag(pattern, values_N, dense.contiguous())
    return _Product.apply(values_N, dense, pattern)


@dataclass(frozen=True, eq=False)
class SparseRows:
    """``x[T, F]`` of which few numbers are not 0. What a dense tensor serves for, the functions below do for both."""

    pattern: Pattern
    values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.pattern), self.pattern.width

    @property
    def device(self) -> torch.device:
        return self.values.device

    def __len__(self) -> int:
        return len(self.pattern)

    def to(self, device: torch.device | str) -> SparseRows:
        return SparseRows(self.pattern.to(device), self.values.to(device))

    def dense(self) -> Tensor:
        """``float[T, F]``."""
        out = self.values.new_zeros(self.shape)
        return out.index_put_((self.pattern.rows, self.pattern.columns), self.values, accumulate=True)


Rows = Tensor | SparseRows


def sparse_rows(x: Tensor) -> SparseRows:
    """The entries of ``x[T, F]`` that are not 0."""
    rows, columns = torch.nonzero(x, as_tuple=True)
    return SparseRows(Pattern(offsets_of(rows, len(x)), columns, x.shape[1]), x[rows, columns])


def from_scipy(matrix: Any) -> SparseRows:
    """A scipy sparse matrix as float32."""
    csr = matrix.tocsr()
    csr.sum_duplicates()
    offsets, columns = (torch.from_numpy(np.asarray(a, dtype=np.int64)) for a in (csr.indptr, csr.indices))
    values = torch.from_numpy(np.asarray(csr.data, dtype=np.float32))
    return SparseRows(Pattern(offsets, columns, csr.shape[1]), values)


def matmul(x: Rows, weight_FD: Tensor) -> Tensor:
    """``x @ weight``: ``[T, D]``."""
    if isinstance(x, SparseRows):
        return product(x.pattern, x.values, weight_FD)
    return x @ weight_FD


def dense(x: Rows) -> Tensor:
    """``x`` as an ordinary tensor ``[T, F]``."""
    return x.dense() if isinstance(x, SparseRows) else x


def take(x: Rows, index_H: Tensor) -> Rows:
    """The rows ``index[H]`` of x, in that order, of the same kind."""
    if not isinstance(x, SparseRows):
        return x[index_H]
    starts, counts = x.pattern.offsets[index_H], x.pattern.offsets.diff()[index_H]
    offsets = F.pad(counts.cumsum(0), (1, 0))
    total = int(offsets[-1])
    entry = torch.arange(total, device=x.device) + (starts - offsets[:-1]).repeat_interleave(counts, output_size=total)
    return SparseRows(Pattern(offsets, x.pattern.columns[entry], x.pattern.width), x.values[entry])


def scale_columns(x: Rows, factor_F: Tensor) -> Rows:
    """Column f of x times ``factor[f]``; 0 hides a column."""
    if isinstance(x, SparseRows):
        return SparseRows(x.pattern, x.values * factor_F[x.pattern.columns])
    return x * factor_F


def scale_rows(x: Rows, factor_T: Tensor) -> Rows:
    """Row t of x times ``factor[t]``; 0 empties a row."""
    if isinstance(x, SparseRows):
        return SparseRows(x.pattern, x.values * factor_T[x.pattern.rows])
    return x * factor_T[:, None]


def concatenate(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after the other."""
    if not all(isinstance(part, SparseRows) for part in parts):
        return torch.cat([dense(part) for part in parts])
    found = [part for part in parts if isinstance(part, SparseRows)]
    counts = torch.cat([part.pattern.offsets.diff() for part in found])
    columns = torch.cat([part.pattern.columns for part in found])
    pattern = Pattern(F.pad(counts.cumsum(0), (1, 0)), columns, found[0].pattern.width)
    return SparseRows(pattern, torch.cat([part.values for part in found]))


def normalize_rows(x: Rows) -> Rows:
    """Each row divided by its sum; rows of sum 0 stay 0."""
    if isinstance(x, SparseRows):
        total = torch.zeros(len(x), device=x.device).index_add_(0, x.pattern.rows, x.values)
    else:
        total = x.sum(1)
    return scale_rows(x, torch.where(total == 0, 0.0, 1.0 / torch.where(total == 0, 1.0, total)))
