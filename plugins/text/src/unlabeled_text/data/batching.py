"""Batches of an epoch's order of samples: packed to equal totals of tokens, or of like lengths.

Batches keep their number of samples, so that ranks, accumulation and resume stay as they are; what changes is which
samples meet. Both are functions of the order alone: no state, no further randomness.

    # N samples in the order of an epoch, B samples of a batch
"""

import torch
from torch import Tensor

from unlabeled.draw import mix64

WINDOW = 64  # batches that are formed together: enough to even out lengths, few enough to stay shuffled


def arrange(ids_N: Tensor, lengths_N: Tensor, size: int, *, alike: bool) -> Tensor:
    """``ids_N`` in another order, of which each run of ``size`` is a batch; a last, smaller run stays last.

    Args:
        ids_N: ids in the epoch's random order.
        lengths_N: tokens of each.
        size: B.
        alike: True = lengths of a batch are alike, False = totals of batches are alike (a token budget).
    """
    whole = len(ids_N) // size * size
    parts = []
    for begin in range(0, whole, size * WINDOW):
        window = slice(begin, min(begin + size * WINDOW, whole))
        parts.append(_window(ids_N[window], lengths_N[window], size, alike))
    return torch.cat([*parts, ids_N[whole:]])


def _window(ids_N: Tensor, lengths_N: Tensor, size: int, alike: bool) -> Tensor:
    descending = ids_N[torch.argsort(lengths_N, descending=True, stable=True)]
    if alike:
        batches = descending.reshape(-1, size)
        return batches[torch.argsort(mix64(batches[:, 0]), stable=True)].flatten()
    dealt = descending.reshape(size, -1)
    dealt[1::2] = dealt[1::2].flip(1)  # there and back again: each batch gets long and short ones in turn
    batches = dealt.T
    # in another order within a batch, so that no rank gets the long ones
    return batches.gather(1, torch.argsort(mix64(batches), dim=1, stable=True)).flatten()
