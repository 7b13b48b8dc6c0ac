"""k-means in memory, and in one pass in constant memory; the same clusters for the same start, or the same seed.

In memory by Lloyd's algorithm, from any start or from k-means++ (Arthur and Vassilvitskii 2007). In one pass, a first
part that fits in memory gives the centers, which then follow the stream: each batch moves a center by its share of all
that the center has seen (Sculley 2010, https://doi.org/10.1145/1772690.1772862). By cosine for rows of length 1.

    # N rows, K clusters, F features
"""

import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.nn.precision import full, full_precision

ROUNDS = 12  # of Lloyd's algorithm on the first part
CHUNK = 8192  # rows whose distances are held at once


@torch.no_grad()
def nearest(x_NF: Tensor, centers_KF: Tensor, *, cosine: bool = False) -> Tensor:
    """``int64[N]``: the center of each row at the least Euclidean distance, or with the greatest product.

    >>> nearest(torch.tensor([[0.0], [9.0]]), torch.tensor([[1.0], [8.0]]))
    tensor([0, 1])
    """
    with full_precision(x_NF):
        half: Tensor | float = 0.0 if cosine else centers_KF.square().sum(1) / 2
        return torch.cat([(half - full(part) @ centers_KF.T).argmin(1) for part in x_NF.split(CHUNK)])


def plus_plus(x_NF: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` rows, far apart: of a few that are drawn in proportion to squared distance, the best, one by one.

    >>> plus_plus(torch.tensor([[0.0], [0.0], [9.0]]), 2, torch.Generator().manual_seed(0)).sort(0).values
    tensor([[0.],
            [9.]])
    """
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
    """Mean of the rows of each cluster (0 where it has none), and how many it has: ``[K, F]`` and ``[K, 1]``.

    >>> means(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 1]), 2)
    (tensor([[0.],
            [2.]]), tensor([[0.],
            [2.]]))
    """
    total, size = _sums(x_NF, code_N, count)
    return total / size.clamp(min=1), size


def _sums(x_NF: Tensor, code_N: Tensor, count: int) -> tuple[Tensor, Tensor]:
    size = torch.bincount(code_N, minlength=count).to(x_NF.dtype)[:, None]
    return x_NF.new_zeros(count, x_NF.shape[1]).index_add(0, code_N, x_NF), size


def lloyd(
    x_NF: Tensor, centers_KF: Tensor, *, rounds: int = ROUNDS, cosine: bool = False, revive: bool = False
) -> Tensor:
    """``[K, F]``: centers after ``rounds`` of Lloyd's algorithm from ``centers_KF``.

    Args:
        rounds: of assigning rows and moving centers.
        cosine: rows have length 1, and centers are brought to it.
        revive: a cluster that empties takes the row farthest off; else its center stays.

    >>> lloyd(torch.tensor([[0.0], [2.0], [8.0]]), torch.tensor([[0.0], [8.0]]))
    tensor([[1.],
            [8.]])
    """
    for _ in range(rounds):
        code = nearest(x_NF, centers_KF, cosine=cosine)
        total, size = _sums(x_NF, code, len(centers_KF))
        middle = F.normalize(total, dim=1) if cosine else total / size.clamp(min=1)
        empty = torch.nonzero(size[:, 0] == 0)[:, 0]
        if len(empty):
            middle[empty] = _farthest(x_NF, centers_KF[code], len(empty)) if revive else centers_KF[empty]
        centers_KF = middle
    return centers_KF


def _farthest(x_NF: Tensor, from_NF: Tensor, count: int) -> Tensor:
    return x_NF[(x_NF - from_NF).square().sum(1).topk(count).indices]


def k_means(x_NF: Tensor, count: int, seed: int) -> Tensor:
    """``[K, F]``: centers of rows that are in memory, by k-means++ and Lloyd's algorithm; the same for a seed.

    >>> k_means(torch.tensor([[0.0], [2.0], [8.0]]), 2, seed=0).sort(0).values
    tensor([[1.],
            [8.]])
    """
    return lloyd(x_NF, plus_plus(x_NF, count, torch.Generator().manual_seed(seed)), revive=True)


def stream(parts: Iterable[Tensor], count: int, seed: int, *, first: int) -> Tensor:
    """``[K, F]``: centers of rows that come in parts, of which only the first ``first`` rows are held together.

    >>> stream(torch.tensor([[0.0], [2.0], [8.0], [8.0]]).split(2), 1, seed=0, first=2)
    tensor([[4.5000]])
    """
    source = iter(parts)
    head = _gather(source, first)
    if len(head) < count:
        raise ValueError(f"{len(head)} rows make no {count} clusters; ask for fewer")
    centers = k_means(head, count, seed)
    seen = torch.bincount(nearest(head, centers), minlength=count).to(head.dtype)[:, None]
    for part in source:
        middle, size = means(part, nearest(part, centers), count)
        seen = seen + size
        centers = centers + (middle - centers) * (size / seen.clamp(min=1))
    return centers


def _gather(source: Iterator[Tensor], first: int) -> Tensor:
    """Parts together until they have ``first`` rows, or end."""
    held: list[Tensor] = []
    total = 0
    for part in source:
        held.append(part)
        total += len(part)
        if total >= first:
            break
    return torch.cat(held) if held else torch.zeros(0, 1)
