"""Masks on the grid of steps and mel bands: blocks, and everything but blocks.

data2vec 2.0 https://arxiv.org/abs/2212.07525, EAT https://arxiv.org/abs/2401.03497. On rows without bands, spans.
Differs: blocks are laid down until an exact share is covered, also over the edges, and the last is cut.

    # G clips, N rows of the longest clip
"""

from typing import Any

from torch import Tensor

from unlabeled.draw import Draw
from unlabeled.masks.grid import turns
from unlabeled_audio.masks.spans import TimeMask


class BlockMask(TimeMask):
    """Blocks of time and mel bands until a share is hidden; on rows without bands, spans.

    Args:
        ratio: share of each clip's rows that is hidden, between 0 and 1.
        steps: of a block, in time.
        bands: of a block, in mel bands.
    """

    def __init__(self, encoder: Any = None, *, ratio: float = 0.5, steps: int = 5, bands: int = 5) -> None:
        super().__init__(encoder, ratio, steps=steps, bands=bands)
        self.steps, self.bands = steps, bands

    def keys(self, steps: int, draw: Draw) -> Tensor:
        return turns(draw, (steps, self.per_step), (self.steps, min(self.bands, self.per_step)))


class InverseBlockMask(BlockMask):
    """Everything is hidden but blocks of time and mel bands: data2vec 2.0's and EAT's mask.

    Args:
        ratio: share of each clip's rows that is hidden, between 0 and 1.
        steps: of a block that stays, in time.
        bands: of a block that stays, in mel bands.
    """

    def __init__(self, encoder: Any = None, *, ratio: float = 0.8, steps: int = 5, bands: int = 5) -> None:
        super().__init__(encoder, ratio=ratio, steps=steps, bands=bands)

    def keys(self, steps: int, draw: Draw) -> Tensor:
        # the last to be covered by a block are hidden: complemented keys turn the order around
        return ~super().keys(steps, draw)
