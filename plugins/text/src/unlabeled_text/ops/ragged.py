"""Whole-array operations on packed sequences of unequal lengths: no loop over samples, no padding.

# B sequences, T packed elements of all of them, S packed elements of the result
"""

import torch
from torch import Tensor


def starts_of(lengths_B: Tensor) -> Tensor:
    """First element of each sequence: ``int64[B]``."""
    return lengths_B.cumsum(0) - lengths_B


def owner(lengths_B: Tensor, total: int) -> Tensor:
    """``int64[T]``: the sequence of each element."""
    return torch.repeat_interleave(lengths_B, output_size=total)


def ranges(start_B: Tensor, lengths_B: Tensor, total: int) -> Tensor:
    """``int64[S]``: start, start + 1, ... for each sequence, one after the other; ``total`` is the sum of lengths."""
    shift = start_B - starts_of(lengths_B)
    return torch.arange(total, device=start_B.device) + shift.repeat_interleave(lengths_B, output_size=total)


def within(lengths_B: Tensor, total: int) -> Tensor:
    """``int64[T]``: the place of each element in its sequence."""
    return ranges(torch.zeros_like(lengths_B), lengths_B, total)


def restart(count_T: Tensor, first_T: Tensor) -> Tensor:
    """Running sum of ``count_T`` that begins anew where ``first_T`` is the index of the sequence's first element."""
    total = count_T.cumsum(0)
    return total - (total - count_T).index_select(0, first_T)


def sums(x_T: Tensor, lengths_B: Tensor) -> Tensor:
    """Sum over each sequence, in integers: ``int64[B]``."""
    end = lengths_B.cumsum(0)
    running = torch.cat((x_T.new_zeros(1, dtype=torch.int64), x_T.cumsum(0, dtype=torch.int64)))
    return running[end] - running[end - lengths_B]


def kept_lengths(keep_T: Tensor, lengths_B: Tensor) -> tuple[int, ...]:
    """How many elements of each sequence ``keep_T`` (True = stays) leaves, on the host."""
    return tuple(sums(keep_T, lengths_B).tolist())
