"""The same share of every group, hidden uniformly at random (MAE, https://arxiv.org/abs/2111.06377).

# G groups, T packed rows
"""

from __future__ import annotations

from dataclasses import replace

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.rows import choose, keys, share, touchable


class RandomMask:
    """Hides the same share of every group's rows, uniformly at random.

    Args:
        ratio: share of the maskable rows of each group that is hidden, between 0 and 1.
    """

    sets = frozenset({"hidden"})
    targets = 0
    flat = True  # every row is hidden equally often: the conformance kit measures it

    def __init__(self, *, ratio: float = 0.75) -> None:
        if not 0 < ratio < 1:
            raise ValueError(f"ratio is {ratio}; it must lie between 0 and 1, both excluded")
        self.ratio = ratio

    def __call__(self, view: View, draw: Draw) -> View:
        layout = view.layout
        assert layout is not None, "a mask needs the view's layout"
        counts = share(self.ratio, touchable(layout))
        return replace(view, hidden=choose(keys(layout, draw), layout, counts))
