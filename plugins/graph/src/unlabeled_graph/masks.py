"""GraphMAE's node mask, https://arxiv.org/abs/2205.10803: hidden nodes, of which a few show another node's features.

Of each graph a share ``ratio`` of the nodes is to be predicted. All of them but a share ``replace`` are hidden, which
show the encoder's mask token; those show the features of random nodes of their graph (``swap``). Counts are exact.
Differs: where the share that is replaced rounds to no node, none is, and not all of them.

    # G groups, T rows
"""

from dataclasses import replace

import torch

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.masks.rows import choose, gather_rows, keys, layout_of, share, touchable


class NodeMask:
    """Hides an exact share of the nodes of each graph.

    Args:
        ratio: share of the nodes of each graph that is predicted, in (0, 1).
        replace: share of those that show another node's features and not the mask token, in [0, 1).
    """

    flat = True  # every node is chosen equally often: the conformance kit measures it

    def __init__(self, *, ratio: float = 0.5, replace: float = 0.0) -> None:
        if not 0 < ratio < 1:
            raise ValueError(f"ratio is {ratio}; it must be in (0, 1)")
        if not 0 <= replace < 1:
            raise ValueError(f"replace is {replace}; it must be in [0, 1)")
        self.ratio, self.replace = ratio, replace
        self.sets = frozenset({"hidden", "predict", "swap"} if replace else {"hidden"})
        self.targets = 1 if replace else 0

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        counts = share(self.ratio, touchable(layout))
        chosen = choose(keys(layout, draw), layout, counts)
        if not self.replace:
            return replace(view, hidden=chosen)
        swapped_counts = tuple(min(round(self.replace * n), n - 1) if n else 0 for n in counts)
        among = replace(layout, maskable=chosen)
        swapped = choose(keys(layout, draw, Purpose.MASK_FILL), among, swapped_counts)
        hidden_flags = chosen.flags(layout.total) & ~swapped.flags(layout.total)
        hidden = gather_rows(hidden_flags, [a - b for a, b in zip(counts, swapped_counts, strict=True)])
        return replace(view, hidden=hidden, predict=(chosen,), swap=self._swap(layout, swapped, draw))

    def _swap(self, layout: Layout, swapped: Rows, draw: Draw) -> torch.Tensor:
        """``int64[T]``: another row of the group at the swapped rows, and every other row itself."""
        swap = torch.arange(layout.total, device=layout.position.device)
        if not len(swapped):
            return swap
        group = layout.group[swapped.index]
        starts = torch.tensor(layout.offsets[:-1], device=swap.device)[group]
        lengths = torch.tensor(layout.lengths, device=swap.device)[group]
        word = (keys(layout, draw, Purpose.SWAP)[swapped.index] >> 33) & 0x7FFFFFFF
        # a step of 1 to n - 1 from its own place, so that no row shows itself
        step = 1 + word % (lengths - 1).clamp(min=1)
        swap[swapped.index] = starts + (swapped.index - starts + step) % lengths
        return swap
