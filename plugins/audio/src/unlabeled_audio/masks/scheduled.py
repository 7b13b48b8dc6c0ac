"""The mask of masked generative models: another share of each clip every time, from nearly none to nearly all.

MaskGIT, https://arxiv.org/abs/2202.04200; Metis, https://arxiv.org/abs/2502.03128. The share is cos(pi u / 2) with u
uniform, so that a model learns to fill in from much, from little and from nothing. Which rows is uniform.

    # G clips, T packed rows
"""

import math
from dataclasses import replace

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.masks.rows import check_share, choose, keys, layout_of, share, touchable


class ScheduledMask:
    """A share of each clip's rows that is drawn anew, along a cosine.

    Args:
        least: the smallest share that is hidden, in (0, 1).
    """

    sets = frozenset({"hidden"})
    targets = 0
    flat = True  # every row is hidden equally often
    exact = False  # and as many of them as the cosine says this time

    def __init__(self, *, least: float = 0.05) -> None:
        check_share(least=least)
        self.least = least

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        place = draw.to("cpu").uniform(1, Purpose.MASK_SIZE)[:, 0].tolist()
        ratios = [max(self.least, math.cos(math.pi / 2 * u)) for u in place]
        counts = tuple(share(ratio, (n,))[0] for ratio, n in zip(ratios, touchable(layout), strict=True))
        return replace(view, hidden=choose(keys(layout, draw), layout, counts))
