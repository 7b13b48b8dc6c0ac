"""Where a node stands in its graph: the chances that a random walk of 1 to K steps is back where it began.

The random-walk encoding of https://arxiv.org/abs/2110.07875, which GPS (https://arxiv.org/abs/2205.12454) adds to
features; the numbers of PyG's ``AddRandomWalkPE``. Differs: powers of the walk are applied to blocks of unit vectors,
one node of every graph at a time, so that N x N numbers are never held; on directed graphs walks go against the edges.

    # T rows, K steps, C nodes of each graph in a block
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled_graph.adjacency import adjacency_of
from unlabeled_graph.data import GraphBatch

BLOCK = 1 << 23  # numbers of a block


@torch.no_grad()
def return_chances(batch: GraphBatch, steps: int) -> Tensor:
    """``[T, K]``; worked out once for a graph that many steps share."""
    key = ("return_chances", steps)
    if key not in batch.memo:
        batch.memo[key] = _chances(batch, steps)
    found: Tensor = batch.memo[key]
    return found


def _chances(batch: GraphBatch, steps: int) -> Tensor:
    adjacency, within = adjacency_of(batch), batch.layout.within
    out = torch.zeros(batch.total, steps, device=batch.device)
    longest, width = max(batch.lengths), max(1, BLOCK // batch.total)
    for begin in range(0, longest, width):
        count = min(longest, begin + width) - begin
        rows = torch.nonzero((within >= begin) & (within < begin + count))[:, 0]
        columns = within[rows] - begin
        walk_TC = torch.zeros(batch.total, count, device=batch.device)
        walk_TC[rows, columns] = 1.0
        for step in range(steps):
            walk_TC = adjacency.mean(walk_TC)
            out[rows, step] = walk_TC[rows, columns]
    return out
