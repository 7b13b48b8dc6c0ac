"""Graph diffusion: personalized PageRank and the heat kernel as weighted graphs.

GDC, https://arxiv.org/abs/1911.05485, as MVGRL uses it. With T = D^-1/2 (A + I) D^-1/2 the weights are
``sum_k theta_k T^k``: theta_k = alpha (1 - alpha)^k, or e^-t t^k / k!. Differs: the series is summed until what is left
out is below 1e-6 instead of inverting a dense matrix, in blocks of columns, so that N x N numbers are never held; each
node keeps its greatest entries, and the two directions of a pair their mean.

    # T rows, N entries that are kept, C columns of a block
"""

import math
from typing import Literal

import torch
from torch import Tensor

from unlabeled_graph.batch import GraphBatch, sort_edges
from unlabeled_graph.ops.adjacency import Adjacency, adjacency_of

LEFT = 1e-6  # of the series' sum, which is 1
BLOCK = 1 << 23  # numbers of a block


def coefficients(kind: Literal["ppr", "heat"], strength: float) -> list[float]:
    """theta_k, until what is left out is below 1e-6: strength is alpha of PageRank, or t of the heat kernel."""
    found: list[float] = []
    while 1 - sum(found) > LEFT and len(found) < 1000:
        k = len(found)
        if kind == "ppr":
            found.append(strength * (1 - strength) ** k)
        else:
            found.append(math.exp(-strength + k * math.log(strength) - math.lgamma(k + 1)))
    return found


def series(edges: Adjacency, start_TC: Tensor, theta: list[float]) -> Tensor:
    """``sum_k theta_k T^k start``: ``[T, C]``."""
    power, total = start_TC, theta[0] * start_TC
    for factor in theta[1:]:
        power = edges.normalized(power)
        total = total + factor * power
    return total


@torch.no_grad()
def diffuse(batch: GraphBatch, kind: Literal["ppr", "heat"], strength: float, keep: int) -> GraphBatch:
    """The batch with diffused edges and their weights, loops among them; made once for a graph that steps share."""
    key = ("diffusion", kind, strength, keep)
    if key not in batch.memo:
        edges, weight = diffused(batch, coefficients(kind, strength), keep)
        batch.memo[key] = batch.altered(
            edges=edges, weight=weight, edge_attr=None, symmetric=True, diffusion=(kind, strength, keep)
        )
    made: GraphBatch = batch.memo[key]
    return GraphBatch(
        **{name: getattr(made, name) for name in GraphBatch.__dataclass_fields__}
        | {"ids": batch.ids, "seeds": batch.seeds, "complete": batch.complete}
    )


def diffused(batch: GraphBatch, theta: list[float], keep: int) -> tuple[Tensor, Tensor]:
    """Edges ``[2, N]``, sorted, and their weights ``[N]``."""
    total, width = batch.total, max(1, BLOCK // max(1, batch.total))
    adjacency, pairs, weights = adjacency_of(batch), [], []
    for begin in range(0, total, width):
        columns = torch.arange(begin, min(total, begin + width), device=batch.device)
        start = torch.zeros(total, len(columns), device=batch.device)
        start[columns, columns - begin] = 1.0
        found = series(adjacency, start, theta)
        if keep and keep < total:
            limit = found.topk(keep, dim=0).values[-1]
            found = found * (found >= limit)
        source, column = torch.nonzero(found, as_tuple=True)
        pairs.append(torch.stack((source, column + begin)))
        weights.append(found[source, column])
    return _both_ways(torch.cat(pairs, dim=1), torch.cat(weights), total)


def _both_ways(edges: Tensor, weight_N: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """The mean of a matrix and its transposed."""
    both = torch.cat((edges, edges.flip(0)), dim=1)
    key, index = torch.unique(both[1] * total + both[0], return_inverse=True)
    weight = torch.zeros(len(key), device=weight_N.device).index_add_(0, index, weight_N.repeat(2) / 2)
    return sort_edges(torch.stack((key % total, key // total)), total)[0], weight
