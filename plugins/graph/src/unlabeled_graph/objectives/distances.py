"""Steps between nodes, by breadth-first search from many nodes at once.

# T packed rows, E edges, S sources, K centers
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.contract import Layout


def hops(edges_2E: Tensor, sources_S: Tensor, total: int, depth: int) -> Tensor:
    """``int64[T, S]``: least number of edges from each source to each row; depth + 1 = farther, or unreachable."""
    source, target = edges_2E
    reached = torch.zeros(total, len(sources_S), dtype=torch.float32, device=edges_2E.device)
    reached[sources_S, torch.arange(len(sources_S), device=edges_2E.device)] = 1.0
    found = torch.full(reached.shape, depth + 1, dtype=torch.int64, device=edges_2E.device)
    found[reached > 0] = 0
    for step in range(1, depth + 1):
        reached = (reached.index_add(0, target, reached[source]) > 0).float()
        found = torch.where((reached > 0) & (found > step), step, found)
    return found


def degrees(edges_2E: Tensor, total: int) -> Tensor:
    """``int64[T]``: edges into each row."""
    return torch.bincount(edges_2E[1], minlength=total)


def centers(layout: Layout, count: int) -> Tensor:
    """``int64[G, K]``: the rows of most edges of each group, in turn; a group of fewer rows repeats its own."""
    assert layout.edges is not None
    degree = degrees(layout.edges, layout.total)
    rank = torch.argsort(degree * layout.total + (layout.total - 1 - torch.arange(layout.total, device=degree.device)))
    order = rank.flip(0)  # of most edges first, the first row among equals
    order = order[torch.argsort(layout.group[order], stable=True)]
    starts = torch.tensor(layout.offsets[:-1], device=degree.device)
    lengths = torch.tensor(layout.lengths, device=degree.device).clamp(min=1)
    place = torch.arange(count, device=degree.device)[None] % lengths[:, None]
    return order[starts[:, None] + place]
