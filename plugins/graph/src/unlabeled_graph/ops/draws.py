"""What objectives draw for themselves, addressed by (step, sample, row): the same on any number of ranks, or resumed.

The step is a buffer of the objective and never read by the host. Where samples are nodes of one graph, rows are
addressed by their place in it, since every rank holds the whole graph.

    # B samples, G graphs, T packed rows, E edges, D features
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw, mix64

UNIT = 2.0**-24


def row_words(view: View, layout: Layout, step: Tensor, purpose: int, turn: int = 0) -> Tensor:
    """``int64[T]``: 64 random bits for each row; ``turn`` tells several draws of a step apart."""
    if layout.seeds is None:
        sample, place, ids = layout.group, layout.within, view.batch.ids
    else:
        place = (
            layout.address if layout.address is not None else torch.arange(layout.total, device=layout.position.device)
        )
        sample, ids = torch.zeros_like(place), torch.zeros_like(place[:1])
    return Draw(0, 0, ids + (step << 40), turn).rows(purpose, sample, place)


def more_words(words: Tensor, count: int) -> Tensor:
    """``int64[..., count]``: further words, each a function of one of ``words[...]``."""
    return mix64(words[..., None] + torch.arange(1, count + 1, device=words.device) * 0x632BE59BD9B4E019)


def uniform(words: Tensor) -> Tensor:
    """float32 in [0, 1), on a grid of 2**-24."""
    return (words >> 8 & 0xFFFFFF).float() * UNIT


def normal(words_T: Tensor, width: int) -> Tensor:
    """``float32[T, width]`` standard normal, by Box-Muller."""
    words = more_words(words_T, width)
    radius = torch.sqrt(-2.0 * torch.log((words & 0xFFFFFFFF).double().add(0.5) * 2.0**-32))
    return (radius * torch.cos((words >> 32 & 0xFFFFFFFF).double() * (2.0 * math.pi * 2.0**-32))).float()


def below(words: Tensor, count: Tensor | int) -> Tensor:
    """Integers in [0, count), element by element; count < 2**31."""
    return (words & 0xFFFFFFFF) * count >> 32


def permute_rows(words_T: Tensor, layout: Layout) -> Tensor:
    """``int64[T]``: a permutation of the rows that leaves each in its group."""
    order = torch.argsort(words_T, stable=True)
    return order[torch.argsort(layout.group[order], stable=True)]


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
