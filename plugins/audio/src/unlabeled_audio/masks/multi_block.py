"""I-JEPA's mask in time: several spans to predict, and what lies outside of all of them to predict from.

I-JEPA, https://arxiv.org/abs/2301.08243; in audio, A-JEPA, https://arxiv.org/abs/2311.15830. Each span is a predict set
of its own; spans may overlap, so their union, which the encoder does not see, varies. Differs: time alone is cut, with
all mel bands; the context is all that is left; in a clip with no more steps than spans, all spans are the first.

    # G clips, R spans, L steps of the longest clip
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled.masks.grid import inside, to_predict
from unlabeled.masks.rows import layout_of
from unlabeled_audio.masks.spans import bands_of


class SpanSetsMask:
    """Several spans of time as predict sets; the encoder sees what lies outside of all.

    Args:
        spans: number of predict sets, M; 4 in I-JEPA.
        ratio: share of each clip's steps that one span has, between 0 and 1; at least one step.
    """

    sets = frozenset({"hidden", "predict"})
    exact = False  # spans overlap as they fall

    def __init__(self, encoder: Any = None, *, spans: int = 3, ratio: float = 0.2) -> None:
        above(0, spans=spans)
        if not 0 < ratio * spans < 1:
            raise ValueError(f"{spans} spans of a share of {ratio} leave nothing to see: their product must be below 1")
        self.bands = bands_of(encoder)
        self.targets, self.spans, self.share = spans, spans, ratio

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        if layout.maskable is not None:
            raise ValueError("span sets need clips of which every row may be hidden; take mask span")
        steps = [n // self.bands for n in layout.lengths]
        blocks_GRL = self._spans(steps, draw.to("cpu")).repeat_interleave(self.bands, 2)
        return to_predict(view, blocks_GRL, blocks_GRL.any(1))

    def _spans(self, steps: Sequence[int], draw: Draw) -> Tensor:
        """``bool[G, R, L]``, True in each span of clips of ``steps``; nowhere in a clip of one, which must be seen."""
        size = [max(1, min(round(self.share * n), (n - 1) // self.spans)) if n > 1 else 0 for n in steps]
        steps_G1, size_G1 = torch.tensor([steps, size])[..., None]
        place_GR = draw.uniform(self.spans, Purpose.MASK_PLACE).double()
        place_GR = torch.where(steps_G1 > self.spans, place_GR, place_GR[:, :1])
        start_GR = (place_GR * (steps_G1 - size_G1 + 1)).long()
        return inside(start_GR[..., None], size_G1.expand_as(start_GR)[..., None], (max(steps, default=0),))
