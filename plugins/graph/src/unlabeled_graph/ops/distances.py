"""Steps between nodes, by breadth-first search from many nodes at once, and the centers of clusters of nodes.

# T packed rows, E edges, S sources, K centers
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.transfer import tally
from unlabeled_graph.ops.adjacency import adjacency_in
from unlabeled_graph.ops.sampling import cluster_order


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


def label_distances(layout: Layout, y_T: Tensor, classes: int, depth: int = 6) -> Tensor:
    """``float[T, 3C]``: the least, mean and greatest steps to the labeled rows of each class, at most depth + 1.

    A class without a labeled row is that far from all. ``y[T]`` is -1 where a row has no label.
    """
    assert layout.edges is not None
    found = torch.full((layout.total, classes, 3), depth + 1.0, device=y_T.device)
    for label in range(classes):
        sources = torch.nonzero(y_T == label)[:, 0]
        if len(sources):
            steps = hops(layout.edges, sources, layout.total, depth).float()
            found[:, label] = torch.stack((steps.amin(1), steps.mean(1), steps.amax(1)), dim=1)
    return found.flatten(1)


def label_context(layout: Layout, y_T: Tensor, classes: int, rounds: int = 20) -> Tensor:
    """``float[T, C]``: the mean label of the rows one and two steps away, as a random walk meets them.

    Rows without a label have that which their neighbors' labels propagate to them.
    """
    known, edges = y_T >= 0, adjacency_in(layout)
    own = F.one_hot(y_T.clamp(min=0), classes).float() * known[:, None]
    spread = own
    for _ in range(rounds):
        spread = torch.where(known[:, None], own, edges.mean(spread))
    spread = spread / spread.sum(1, keepdim=True).clamp(min=1e-9)
    near = edges.mean(spread)
    return (near + edges.mean(near)) / 2


def degrees(edges_2E: Tensor, total: int) -> Tensor:
    """``int64[T]``: edges into each row."""
    return tally(edges_2E[1], total)


def centers(layout: Layout, count: int) -> Tensor:
    """``int64[G, K]``: the row of most edges of each of K clusters of each group; worked out once for a layout.

    Clusters are equal parts of an order that keeps neighbors close (``sampling.cluster_order``). A group of
    fewer rows repeats some.
    """
    key = f"_centers_{count}"
    if key not in layout.__dict__:
        layout.__dict__[key] = _centers(layout, count)  # a frozen dataclass, and its cached properties live there too
    found: Tensor = layout.__dict__[key]
    return found


def _centers(layout: Layout, count: int) -> Tensor:
    edges, total, device = layout.edges, layout.total, layout.position.device
    assert edges is not None
    # group by group: which of several equal rows an order begins with depends on all that it is given
    groups = range(len(layout.lengths))
    parts = [layout] if len(groups) == 1 else [layout.groups(group, group + 1) for group in groups]
    orders = [cluster_order(adjacency_in(part).pattern) for part in parts]
    near = torch.cat([start + order for start, order in zip(layout.offsets, orders)]).to(device)
    starts, lengths = (torch.tensor(x, device=device) for x in (layout.offsets[:-1], layout.lengths))
    group = layout.group[near]
    cluster = group * count + (torch.arange(total, device=device) - starts[group]) * count // lengths[group]
    busy = torch.argsort(degrees(edges, total)[near], descending=True, stable=True)
    order = busy[torch.argsort(cluster[busy], stable=True)]  # of each cluster the row of most edges first
    first = torch.searchsorted(cluster[order], torch.arange(len(lengths) * count, device=device))
    # a cluster without rows has the center of the one in which its begin falls
    place = starts[:, None] + torch.arange(count, device=device) * lengths[:, None] // count
    return near[order[first[cluster[place]]]]
