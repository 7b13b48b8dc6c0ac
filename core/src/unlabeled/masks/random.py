"""The same share of every group, hidden uniformly at random (MAE, https://arxiv.org/abs/2111.06377).

# T packed rows
"""

from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.draw import Draw
from unlabeled.masks.rows import ShareMask, keys


class RandomMask(ShareMask):
    """Hides the same share of every group's rows, uniformly at random.

    Args:
        ratio: share of the maskable rows of each group that is hidden, between 0 and 1.
    """

    flat = True  # every row is hidden equally often: the conformance kit measures it

    def __init__(self, *, ratio: float = 0.75) -> None:
        super().__init__(ratio)

    def order(self, layout: Layout, draw: Draw) -> Tensor:
        return keys(layout, draw)
