"""k-means that sees its data once, in constant memory, and always finds the same clusters for the same seed.

Centers start by k-means++ (Arthur and Vassilvitskii 2007) and Lloyd's algorithm on a first part that fits in memory,
and then follow the stream: each batch moves a center by its share of all that the center has seen (Sculley 2010,
https://doi.org/10.1145/1772690.1772862).

    # N rows, K clusters, F features
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from unlabeled.nn.precision import full, full_precision

ROUNDS = 12  # of Lloyd's algorithm on the first part
CHUNK = 8192  # rows whose distances are held at once


@torch.no_grad()
def nearest(x_NF: Tensor, centers_KF: Tensor) -> Tensor:
    """``int64[N]``: the nearest center of each row, by Euclidean distance."""
    with full_precision(x_NF):
        half = centers_KF.square().sum(1) / 2
        found = [(half - full(part) @ centers_KF.T).argmin(1) for part in x_NF.split(CHUNK)]
    return torch.cat(found)


def plus_plus(x_NF: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` rows, far apart: of a few that are drawn in proportion to squared distance, the best, one by one."""
    tries = 2 + int(math.log(count))
    chosen = torch.randint(len(x_NF), (1,), generator=generator)
    norms = x_NF.square().sum(1)
    away = (x_NF - x_NF[chosen]).square().sum(1)
    while len(chosen) < count:
        edges = away.double().cumsum(0)
        place = torch.rand(tries, generator=generator, dtype=torch.float64) * edges[-1]
        drawn = torch.searchsorted(edges, place).clamp(max=len(x_NF) - 1)
        reach = (norms[:, None] + norms[drawn] - 2 * x_NF @ x_NF[drawn].T).clamp(min=0)
        reach = torch.minimum(reach, away[:, None])
        best = int(reach.sum(0).argmin())
        away = reach[:, best]
        chosen = torch.cat((chosen, drawn[best : best + 1]))
    return x_NF[chosen]


def means(x_NF: Tensor, code_N: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean of the rows of each cluster (0 where it has none), and how many it has: ``[K, F]`` and ``[K, 1]``."""
    size = torch.bincount(code_N, minlength=count).to(x_NF.dtype)[:, None]
    total = x_NF.new_zeros(count, x_NF.shape[1]).index_add(0, code_N, x_NF)
    return total / size.clamp(min=1), size


def lloyd(x_NF: Tensor, count: int, seed: int, rounds: int = ROUNDS) -> Tensor:
    """``[K, F]``: centers of k-means on rows that are in memory; a cluster that empties takes the row farthest off."""
    generator = torch.Generator().manual_seed(seed)
    centers = plus_plus(x_NF, count, generator)
    for _ in range(rounds):
        code = nearest(x_NF, centers)
        middle, size = means(x_NF, code, count)
        empty = torch.nonzero(size[:, 0] == 0)[:, 0]
        if len(empty):
            away = (x_NF - centers[code]).square().sum(1)
            middle[empty] = x_NF[away.topk(len(empty)).indices]
        centers = middle
    return centers


def stream(parts: Iterable[Tensor], count: int, seed: int, *, first: int) -> Tensor:
    """``[K, F]``: centers of rows that come in parts, of which only the first ``first`` rows are held together."""
    source = iter(parts)
    head = gather(source, first)
    if len(head) < count:
        raise ValueError(f"{len(head)} rows make no {count} clusters; ask for fewer")
    centers = lloyd(head, count, seed)
    seen = torch.bincount(nearest(head, centers), minlength=count).to(head.dtype)[:, None]
    for part in source:
        middle, size = means(part, nearest(part, centers), count)
        seen = seen + size
        centers = centers + (middle - centers) * (size / seen.clamp(min=1))
    return centers


def gather(source: Iterator[Tensor], first: int) -> Tensor:
    """Parts together until they have ``first`` rows, or end."""
    held: list[Tensor] = []
    total = 0
    for part in source:
        held.append(part)
        total += len(part)
        if total >= first:
            break
    return torch.cat(held) if held else torch.zeros(0, 1)
