"""Positions of nodes in their graph: the surroundings of a node, and the nodes that it is near.

``return_chances``, the chances that a random walk of 1 to K steps is back where it began, is the random-walk encoding
of https://arxiv.org/abs/2110.07875, which GPS (https://arxiv.org/abs/2205.12454) adds to features; the numbers of PyG's
``AddRandomWalkPE``. Differs: powers of the walk are applied to blocks of unit vectors, one node of every graph at a
time, so that N x N numbers are never held; on directed graphs walks go against the edges.

``diffused``, random vectors averaged along walks, has near vectors for nodes whose walks meet: the random projection of
FastRP, https://arxiv.org/abs/1908.11512, without its weights of steps and degrees.

    # T rows, K steps, P coordinates, C nodes of each graph in a block
"""

import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled.nn.chance import normal
from unlabeled.nn.heads import unit
from unlabeled_graph.batch import GraphBatch
from unlabeled_graph.ops.adjacency import adjacency_of
from unlabeled_graph.ops.chance import row_words

BLOCK = 1 << 23  # numbers of a block
STEPS = 2  # of the walks that positions are averaged along


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


@torch.no_grad()
def diffused(batch: GraphBatch, width: int, steps: int = STEPS) -> Tensor:
    """``[T, width]`` of mean square 1 in each row; worked out once for a graph that many steps share."""
    key = ("diffused", width, steps)
    if key not in batch.memo:
        place_TP = normal(row_words(batch, Draw(0, 0, batch.ids), Purpose.WALK), width)
        for _ in range(steps):
            # the mean with the node itself: without it, neighbors in a graph of two sides are never near
            place_TP = (place_TP + adjacency_of(batch).mean(place_TP)) / 2
        batch.memo[key] = unit(place_TP) * width**0.5
    found: Tensor = batch.memo[key]
    return found
