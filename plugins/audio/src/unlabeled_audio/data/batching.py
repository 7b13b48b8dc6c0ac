"""Batches of clips of like lengths: by number of clips, or by seconds, so that all batches cost about the same.

Sorting a whole epoch would make every batch the same each time, so clips are sorted within pools of ``POOL`` batches,
which differ from epoch to epoch, and the batches then come in random order. Attention is the only part of an encoder
here that pads; ``padding`` says how much of a batch that is.

    # N clips of an epoch
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Batching = Literal["auto", "seconds", "clips"]
POOL = 50  # batches; at 32 clips, lengths of a batch then differ by a few percent
STEP = 4  # batches by seconds hold multiples of this, so that 1, 2 and 4 ranks find the same ones


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


def by_seconds(lengths_N: Tensor, size: int, parts: int = 1, pool: int = POOL) -> list[Tensor]:
    """``N // size`` batches of clips that came in random order, each with about the same sum of lengths.

    A batch of short clips holds many, one of long clips few: ``size`` in the mean, always a multiple of ``STEP`` and of
    ``parts``. Where these do not divide ``size``, every batch is of ``size`` clips.
    """
    count, unit = len(lengths_N) // size, math.lcm(STEP, parts)
    if size % unit:
        return list(bucketed(lengths_N, size)[: count * size].split(size))
    found: list[Tensor] = []
    for some in torch.arange(count * size).split(pool * size):
        order = some[torch.argsort(lengths_N[some], stable=True)]
        edges = cut_evenly(lengths_N[order].reshape(-1, unit).sum(1), len(order) // size)
        found += order.split([unit * (b - a) for a, b in pairwise(edges)])
    return sorted(found, key=lambda batch: int(batch[0]))  # a random key, as above


def cut_evenly(weights_U: Tensor, count: int) -> list[int]:
    """Edges, from 0 to U, of ``count`` runs of about equal weight, each of one at least."""
    total = weights_U.double().cumsum(0)
    wanted = total[-1] * torch.arange(1, count) / count
    place = (torch.searchsorted(total, wanted) + 1).tolist()
    edges = [0]
    for number, at in enumerate(place, start=1):
        edges.append(min(max(at, edges[-1] + 1), len(weights_U) - (count - number)))
    return [*edges, len(weights_U)]


def padding(lengths: Sequence[int]) -> float:
    """Share of a padded batch that is padding."""
    whole = len(lengths) * max(lengths, default=0)
    return 1 - sum(lengths) / whole if whole else 0.0
