"""Random words and negatives of edges, of the random words of their rows.

# T packed rows, E edges
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.draw import mix64
from unlabeled.nn.chance import below


def edge_words(words_T: Tensor, edges_2E: Tensor, layout: Layout) -> Tensor:
    """``int64[E]``: random bits for each edge, by the bits of its source row and the place of its target."""
    return mix64(words_T[edges_2E[0]] ^ mix64(layout.within[edges_2E[1]] + 1))


def absent_edges(words_E: Tensor, edges_2E: Tensor, layout: Layout) -> Tensor:
    """``int64[2, E]``: for each edge its source and a random row of the same group.

    A real edge or a loop is drawn with the density of the graph, as in negative sampling of skip-gram.
    """
    group = layout.group[edges_2E[0]]
    lengths = torch.tensor(layout.lengths, device=group.device)
    starts = torch.tensor(layout.offsets[:-1], device=group.device)
    return torch.stack((edges_2E[0], starts[group] + below(words_E, lengths[group])))
