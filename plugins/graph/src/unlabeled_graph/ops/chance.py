"""Random words for nodes, links and graphs of a batch, addressed by what they are: the same in any batch.

Where graphs are the samples, a node is addressed by its graph's id and its place in it; where nodes are, by its own id
in the data set, so that a graph is changed alike whichever of its nodes are the samples of a batch, on any rank. A
graph as a whole draws by its id; the one graph of node-level data by 0.

    # G groups, T rows, E directed edges
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.draw import Draw, mix64
from unlabeled_graph.batch import GraphBatch


def graph_draw(batch: GraphBatch, draw: Draw) -> Draw:
    """A draw with a number for each of the G groups."""
    if batch.nodes is None:
        return draw
    return replace(draw, ids=torch.zeros(len(batch.lengths), dtype=torch.int64, device=batch.device))


def row_words(batch: GraphBatch, draw: Draw, purpose: int) -> Tensor:
    """``int64[T]``: a word for each node."""
    if batch.nodes is None:
        layout = batch.layout
        return draw.rows(purpose, layout.group, layout.within)
    return replace(draw, ids=batch.nodes).words(1, purpose)[:, 0]


def link_words(batch: GraphBatch, draw: Draw, purpose: int) -> Tensor:
    """``int64[E]``: a word for each link, the same in both directions where the graph has both."""
    return pair_words(row_words(batch, draw, purpose), batch.edges, batch.symmetric)


def pair_words(words_T: Tensor, pairs_2E: Tensor, both: bool = True) -> Tensor:
    """``int64[E]``: a word for each pair of rows, of the words of its ends; ``both``: in either direction the same."""
    first, second = words_T[pairs_2E[0]], words_T[pairs_2E[1]]
    if both:
        first, second = torch.minimum(first, second), torch.maximum(first, second)
    return mix64(mix64(first) + second)


def exact(words_N: Tensor, owner_N: Tensor | None, counts: Sequence[int]) -> Tensor:
    """``bool[N]``: of each owner the ``counts[g]`` entries with the smallest words; None = all of one owner."""
    if not len(words_N):
        return torch.zeros(0, dtype=torch.bool, device=words_N.device)
    if owner_N is None or len(counts) == 1:
        return _smallest(words_N, counts[0])
    order = torch.argsort(words_N, stable=True)
    order = order[torch.argsort(owner_N[order], stable=True)]
    sizes = torch.bincount(owner_N, minlength=len(counts))
    place = torch.arange(len(order), device=order.device) - (sizes.cumsum(0) - sizes)[owner_N[order]]
    chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    chosen[order] = place < torch.tensor(counts, device=order.device)[owner_N[order]]
    return chosen


def _smallest(words_N: Tensor, count: int) -> Tensor:
    if count <= 0:
        return torch.zeros_like(words_N, dtype=torch.bool)
    if count >= len(words_N):
        return torch.ones_like(words_N, dtype=torch.bool)
    return words_N <= words_N.kthvalue(count).values  # 64 bits: two equal words are not met
