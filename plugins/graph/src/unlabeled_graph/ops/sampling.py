"""Parts of a graph that is too large for one step: a neighborhood for each node, or clusters of nearby nodes.

Neighborhoods follow GraphSAGE (https://arxiv.org/abs/1706.02216) with the induced edges of ShaDow
(https://arxiv.org/abs/2201.07858), clusters Cluster-GCN (https://arxiv.org/abs/1905.10953). Plain torch; a node's
neighborhood is drawn by its id, so it is the same in any batch. Differs: clusters come from a breadth-first order cut
into equal parts, not from METIS.

    # B seeds, T rows of the sampled graph, N nodes of the whole one, E edges
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose, mix64
from unlabeled_graph.ops.sparse import Pattern


def expand(pattern: Pattern, nodes_K: Tensor) -> tuple[Tensor, Tensor]:
    """All neighbors of ``nodes[K]``: which of the K each belongs to, and the neighbor."""
    starts, counts = pattern.offsets[nodes_K], pattern.offsets.diff()[nodes_K]
    owner = torch.arange(len(nodes_K), device=nodes_K.device).repeat_interleave(counts)
    place = torch.arange(len(owner), device=nodes_K.device) - (counts.cumsum(0) - counts)[owner]
    return owner, pattern.columns[starts[owner] + place]


def neighborhoods(pattern: Pattern, draw: Draw, fanout: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Sample ``[T]`` and node ``[T]`` of each row, sorted, around the seeds ``draw.ids[B]``.

    A seed has itself and, hop by hop, at most ``fanout[h]`` neighbors of every node that the last hop reached.
    """
    count = len(pattern)
    seeds = draw.ids
    sample = torch.arange(len(seeds), device=seeds.device)
    reached = frontier = sample * count + seeds
    for hop, most in enumerate(fanout):
        owner, neighbor = expand(pattern, frontier % count)
        # a word for each (seed, node, neighbor, hop): no draw depends on which other seeds are in the batch
        word = draw.rows(Purpose.WALK, (frontier // count)[owner], (frontier % count)[owner])
        kept = smallest_of_each(mix64(word + neighbor * 2 + (hop << 48)), owner, len(frontier), most)
        found = torch.unique((frontier // count)[owner[kept]] * count + neighbor[kept])
        frontier = found[~torch.isin(found, reached)]
        reached = torch.cat((reached, frontier))
    reached = reached.sort().values
    return reached // count, reached % count


def smallest_of_each(key_N: Tensor, owner_N: Tensor, owners: int, most: int) -> Tensor:
    """``bool[N]``: the ``most`` smallest keys of each owner; ``owner[N]`` is sorted."""
    order = torch.argsort(key_N, stable=True)
    order = order[torch.argsort(owner_N[order], stable=True)]
    counts = torch.bincount(owner_N, minlength=owners)
    place = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[owner_N[order]]
    kept = torch.zeros_like(owner_N, dtype=torch.bool)
    kept[order] = place < most
    return kept


def induced(pattern: Pattern, sample_T: Tensor, node_T: Tensor) -> tuple[Tensor, Tensor]:
    """Edges ``[2, E]`` among rows of the same sample, sorted by target, and which edge of the whole graph each is.

    Rows are sorted by sample, then node.
    """
    count = len(pattern)
    key_T = sample_T * count + node_T
    owner, neighbor = expand(pattern, node_T)
    wanted = sample_T[owner] * count + neighbor
    place = torch.searchsorted(key_T, wanted).clamp(max=len(key_T) - 1)
    inside = key_T[place] == wanted
    starts = pattern.offsets[node_T]
    counts = pattern.offsets.diff()[node_T]
    within = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    return torch.stack((place[inside], owner[inside])), (starts[owner] + within)[inside]


def cluster_order(pattern: Pattern) -> Tensor:
    """``int64[N]``: nodes in an order that keeps neighbors close (reverse Cuthill-McKee)."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    count = len(pattern)
    ones = np.ones(len(pattern.columns), dtype=np.int8)
    matrix = csr_matrix((ones, pattern.columns.cpu().numpy(), pattern.offsets.cpu().numpy()), shape=(count, count))
    return torch.from_numpy(reverse_cuthill_mckee(matrix, symmetric_mode=True).astype(np.int64))


def by_cluster(order_N: Tensor, size: int, ids: Tensor) -> Tensor:
    """``ids`` cluster by cluster of ``size`` nodes each; clusters in the order in which ``ids`` first name them."""
    rank = torch.empty_like(order_N)
    rank[order_N] = torch.arange(len(order_N))
    cluster = rank[ids] // size
    first = torch.full((-(-len(order_N) // size),), len(ids))
    first = first.scatter_reduce(0, cluster, torch.arange(len(ids)), "amin")
    return ids[torch.argsort(first[cluster] * len(order_N) + rank[ids])]
