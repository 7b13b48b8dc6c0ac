"""node2vec, https://arxiv.org/abs/1607.00653: nodes that share random walks have similar vectors.

Skip-gram with negative sampling over walks of second order: back to where one came from with weight 1 / p, to a common
neighbor with weight 1, farther with weight 1 / q. Walks are exact and vectorised: all walkers step at once, each by
inverse transform over its node's neighbors, with no table of edges by edges and no rejection. The vectors are the
encoder's tokens, of a ``table`` encoder as in the paper, or of any other. Negatives are drawn by frequency^0.75, as in
word2vec. Differs: one matrix serves as vectors of nodes and of contexts, as in LINE and PyG; walks are drawn anew each
step from the samples of the batch; a node's frequency is its degree, as which long walks visit it, and not counted;
weights of edges are not read.

    # W walkers, L steps, T packed rows, E edges, D features, K negatives
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, View
from unlabeled.draw import Purpose, mix64
from unlabeled.errors import above
from unlabeled.nn.chance import more_words, row_words, uniform
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.transfer import tally


class Neighbors:
    """Out-neighbors of each row, sorted: ``column[offset[t]:offset[t + 1]]``."""

    def __init__(self, edges_2E: Tensor, total: int) -> None:
        self.total = total
        self.keys = (edges_2E[0] * total + edges_2E[1]).unique()  # sorted
        self.column = self.keys % total
        counts = torch.bincount(self.keys // total, minlength=total)
        self.offset = F.pad(counts.cumsum(0), (1, 0))
        self.degree = counts

    def linked(self, source_N: Tensor, target_N: Tensor) -> Tensor:
        """bool[N], True = there is an edge."""
        wanted = source_N * self.total + target_N
        if not len(self.keys):
            return torch.zeros_like(wanted, dtype=torch.bool)
        place = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        return self.keys[place] == wanted

    def step(self, at_W: Tensor, before_W: Tensor | None, chance_W: Tensor, p: float, q: float) -> Tensor:
        """``[W]``: where each walker goes; one without neighbors stays."""
        if not len(self.column):
            return at_W
        degree = self.degree[at_W]
        if before_W is None or (p == 1 and q == 1):
            place = self.offset[at_W] + torch.minimum((chance_W * degree).long(), (degree - 1).clamp(min=0))
            return torch.where(degree > 0, self.column[place.clamp(max=len(self.column) - 1)], at_W)
        walker = torch.arange(len(at_W), device=at_W.device).repeat_interleave(degree)
        starts = F.pad(degree.cumsum(0), (1, 0))
        entry = self.offset[at_W][walker] + torch.arange(len(walker), device=at_W.device) - starts[:-1][walker]
        if not len(entry):
            return at_W
        there, back = self.column[entry], before_W[walker]
        near = self.linked(back, there)
        weight = torch.where(there == back, 1 / p, torch.where(near, 1.0, 1 / q)).double()
        total = F.pad(weight.cumsum(0), (1, 0))
        low, high = total[starts[:-1]], total[starts[1:]]
        chosen = torch.searchsorted(total, low + chance_W.double() * (high - low), right=True) - 1
        chosen = torch.minimum(torch.maximum(chosen, starts[:-1]), (starts[1:] - 1).clamp(min=0))
        return torch.where(degree > 0, there[chosen.clamp(max=len(there) - 1)], at_W)


def walk(neighbors: Neighbors, start_W: Tensor, words_W: Tensor, length: int, p: float, q: float) -> Tensor:
    """``int64[W, L + 1]``: walks of ``length`` steps from each start, by ``words_W`` random bits."""
    chance_WL = uniform(more_words(words_W, length))
    path = [start_W]
    for number in range(length):
        before = path[-2] if number else None
        path.append(neighbors.step(path[-1], before, chance_WL[:, number], p, q))
    return torch.stack(path, dim=1)


def context_pairs(walks_WL: Tensor, window: int) -> Tensor:
    """``[2, P]``: each node of a walk with those up to ``window`` steps after it, once in each order."""
    pairs = [
        torch.stack((walks_WL[:, :-gap].flatten(), walks_WL[:, gap:].flatten()))
        for gap in range(1, min(window, walks_WL.shape[1] - 1) + 1)
    ]
    ahead = torch.cat(pairs, dim=1)
    return torch.cat((ahead, ahead.flip(0)), dim=1)


def negatives(layout: Layout, row_P: Tensor, words_PK: Tensor) -> Tensor:
    """``int64[P, K]``: random rows of the group of ``row[P]``, each in proportion to its degree^0.75."""
    assert layout.edges is not None
    degree = tally(layout.edges[1], layout.total).clamp(min=1)  # whoever is alone is seen all the same
    total = F.pad(degree.double().pow(0.75).cumsum(0), (1, 0))
    offsets = torch.tensor(layout.offsets, device=row_P.device)
    first, last = (offsets[layout.group[row_P] + one][:, None] for one in (0, 1))
    wanted = total[first] + uniform(words_PK).double() * (total[last] - total[first])
    found = torch.searchsorted(total, wanted, right=True) - 1
    return torch.minimum(torch.maximum(found, first), last - 1)


class Node2Vec(nn.Module):
    """Skip-gram over random walks.

    Args:
        length: steps of a walk, at least 1; l, 80 in the paper.
        walks: walks from each sample of a batch, at least 1; r, 10 in the paper over all epochs.
        window: context on each side, at least 1; k, 10 in the paper.
        p: return parameter, above 0; the less, the more often a walk goes back.
        q: in-out parameter, above 0; the less, the farther a walk goes. Where both are 1 this is DeepWalk.
        negatives: random nodes for each context, at least 1; 5 in word2vec.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        length: int = 20,
        walks: int = 1,
        window: int = 10,
        p: float = 1.0,
        q: float = 0.5,
        negatives: int = 5,
    ) -> None:
        super().__init__()
        above(0, length=length, walks=walks, window=window, p=p, q=q, negatives=negatives)
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.length, self.walks, self.window = length, walks, window
        self.p, self.q, self.negatives = p, q, negatives
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        terms = [self._terms(encoder, view) for view in views]
        true, false = (torch.stack(parts).mean() for parts in zip(*terms, strict=True))
        return Loss(true + false, {"context": true.detach(), "negative": false.detach()})

    def _terms(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        features = encoder(view)
        layout, z_TD = features.layout, full(features.tokens)
        assert layout.edges is not None
        start = layout.seeds if layout.seeds is not None else torch.arange(layout.total, device=z_TD.device)
        words = row_words(view, layout, self.clock.step, Purpose.WALK)[start]
        words = more_words(words, self.walks).flatten()
        start = start.repeat_interleave(self.walks)
        found = walk(_neighbors(view, layout), start, words, self.length, self.p, self.q)
        ahead = context_pairs(found, self.window)
        other = negatives(layout, ahead[0], self._chance(words, found))
        center = z_TD[ahead[0]]
        true = F.softplus(-(center * z_TD[ahead[1]]).sum(1))
        false = F.softplus((center[:, None] * z_TD[other]).sum(2)).sum(1)
        return union_mean(true), union_mean(false)

    def _chance(self, words_W: Tensor, walks_WL: Tensor) -> Tensor:
        """``int64[P, K]``: random bits for each pair, by its walker and the places of both in the walk."""
        place = torch.arange(walks_WL.shape[1], device=walks_WL.device).expand_as(walks_WL)
        walker = torch.arange(len(walks_WL), device=walks_WL.device)[:, None].expand_as(walks_WL)
        (first, second), owner = context_pairs(place, self.window), context_pairs(walker, self.window)[0]
        return more_words(mix64(words_W[owner] + first * place.shape[1] + second), self.negatives)


def _neighbors(view: View, layout: Layout) -> Neighbors:
    """Worked out once for a graph that steps share."""
    batch: Any = view.batch
    assert layout.edges is not None
    if layout.edges is not batch.edges:
        return Neighbors(layout.edges, layout.total)
    if "neighbors" not in batch.memo:
        batch.memo["neighbors"] = Neighbors(layout.edges, layout.total)
    found: Neighbors = batch.memo["neighbors"]
    return found
