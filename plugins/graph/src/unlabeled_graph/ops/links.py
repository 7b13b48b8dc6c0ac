"""Links: the score of two ends, and pairs of rows that are none.

# T packed rows, E edges, D features
"""

import torch
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.draw import mix64
from unlabeled.nn.chance import below


def link_scores(z_TD: Tensor, edges_2E: Tensor) -> Tensor:
    """``[E]`` logits: inner products of the two ends."""
    return (z_TD[edges_2E[0]] * z_TD[edges_2E[1]]).sum(1)


def absent_edges(words_T: Tensor, edges_2E: Tensor, layout: Layout) -> Tensor:
    """``int64[2, E]``: for each edge its source and a random row of the same group, by the random bits of its source.

    A real edge or a loop is drawn with the density of the graph, as in negative sampling of skip-gram.
    """
    words_E = mix64(words_T[edges_2E[0]] ^ mix64(layout.within[edges_2E[1]] + 1))
    group = layout.group[edges_2E[0]]
    lengths = torch.tensor(layout.lengths, device=group.device)
    starts = torch.tensor(layout.offsets[:-1], device=group.device)
    return torch.stack((edges_2E[0], starts[group] + below(words_E, lengths[group])))
