"""Links: the score of two ends, and pairs of rows that are none.

# T packed rows, E edges, D features
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.draw import mix64
from unlabeled.nn.chance import below
from unlabeled_graph.ops.sparse import offsets_of


def link_scores(z_TD: Tensor, edges_2E: Tensor) -> Tensor:
    """``[E]`` logits: inner products of the two ends."""
    return (z_TD[edges_2E[0]] * z_TD[edges_2E[1]]).sum(1)


def absent_edges(words_T: Tensor, edges_2E: Tensor, layout: Layout, taken_2E: Tensor | None = None) -> Tensor:
    """``int64[2, M]``: for each edge its source and a random row of the same group that the source has no edge to, and
    that is not itself, by the random bits of its source. An edge whose source is linked to all rows has none.

    ``taken`` are the edges that count, where ``edges`` are but some of them.
    """
    missing = _missing(edges_2E if taken_2E is None else taken_2E, layout)
    words_E = mix64(words_T[edges_2E[0]] ^ mix64(layout.within[edges_2E[1]] + 1))
    room_E = missing.room[edges_2E[0]]
    has = room_E > 0
    source = edges_2E[0, has]
    return torch.stack((source, missing.pick(source, below(words_E[has], room_E[has]))))


@dataclass(frozen=True)
class _Missing:
    """The rows of a row's group that it has no edge to, in order, without a list of them.

    Args:
        keys: of each edge and loop, sorted: its source, and how many rows before its target are missing.
        offsets: ``[T + 1]`` where each source begins.
        room: ``[T]`` how many rows are missing.
        starts: ``[T]`` first row of the group.
    """

    keys: Tensor
    offsets: Tensor
    room: Tensor
    starts: Tensor

    def pick(self, source_N: Tensor, number_N: Tensor) -> Tensor:
        """``[N]``: the missing row of that number of each source."""
        wanted = source_N * (len(self.room) + 1) + number_N
        before = torch.searchsorted(self.keys, wanted, right=True) - self.offsets[source_N]
        return self.starts[source_N] + number_N + before


def _missing(edges_2E: Tensor, layout: Layout) -> _Missing:
    """Worked out once for the edges of a layout."""
    if edges_2E is layout.edges and "_missing" in layout.__dict__:
        known: _Missing = layout.__dict__["_missing"]
        return known
    total, device = layout.total, edges_2E.device
    loops = torch.arange(total, device=device) * (total + 1)
    pairs = torch.cat((edges_2E[0] * total + edges_2E[1], loops)).unique()
    source, target = pairs // total, pairs % total
    offsets = offsets_of(source, total)
    starts = torch.tensor(layout.offsets[:-1], device=device)[layout.group]
    before = target - starts[source] - (torch.arange(len(pairs), device=device) - offsets[source])
    room = torch.tensor(layout.lengths, device=device)[layout.group] - offsets.diff()
    found = _Missing(source * (total + 1) + before, offsets, room, starts)
    if edges_2E is layout.edges:
        layout.__dict__["_missing"] = found  # a frozen dataclass, and its cached properties live there too
    return found
