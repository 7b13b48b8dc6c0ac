"""Batches of clips of like lengths: an order of an epoch in which neighbors are about as long as each other.

Sorting a whole epoch would make every batch the same each time, so clips are sorted within pools of ``POOL`` batches,
which differ from epoch to epoch, and the batches then come in random order. Attention is the only part of an encoder
here that pads; ``padding`` says how much of a batch that is.

    # N clips of an epoch
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

POOL = 50  # batches; at 32 clips, lengths of a batch then differ by a few percent


def bucketed(lengths_N: Tensor, size: int, pool: int = POOL) -> Tensor:
    """``int64[N]``: an order of clips that came in random order, of which each run of ``size`` is a batch.

    What is left over at the end stays there, so that it is a random part of the epoch.
    """
    whole = len(lengths_N) // size * size
    place = torch.arange(whole)
    within = torch.div(place, pool * size, rounding_mode="floor")
    by_length = torch.argsort(lengths_N[:whole], stable=True)
    order = by_length[torch.argsort(within[by_length], stable=True)].reshape(-1, size)
    # the clips came in random order, so the place of any one of a batch is a random key for the batch
    batches = torch.argsort(order[:, 0], stable=True)
    return torch.cat((order[batches].flatten(), torch.arange(whole, len(lengths_N))))


def padding(lengths: Sequence[int]) -> float:
    """Share of a padded batch that is padding."""
    whole = len(lengths) * max(lengths, default=0)
    return 1 - sum(lengths) / whole if whole else 0.0
