"""I-JEPA's mask in time: several spans to predict, and what lies outside of all of them to predict from.

I-JEPA, https://arxiv.org/abs/2301.08243; in audio, A-JEPA, https://arxiv.org/abs/2311.15830. Each span is a predict set
of its own; spans may overlap, so their union, which the encoder does not see, varies. Differs: time alone is cut, with
all mel bands; the context is all that is left; in a clip with no more steps than spans, all spans are the first.

    # G clips, T packed rows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled_audio.masks.spans import bands_of


def span_rows(layout: Layout, bands: int, spans: Sequence[Sequence[tuple[int, int]]]) -> Rows:
    """The rows of steps ``first`` to ``last`` of each clip's spans, each row once."""
    parts, lengths = [], []
    for start, clip in zip(layout.offsets, spans, strict=False):
        steps = sorted({step for first, last in clip for step in range(first, last)})
        parts += [start + step * bands + band for step in steps for band in range(bands)]
        lengths.append(len(steps) * bands)
    return Rows(torch.tensor(parts, dtype=torch.int64, device=layout.position.device), tuple(lengths))


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
        layout = view.layout
        assert layout is not None
        if layout.maskable is not None:
            raise ValueError("span sets need clips of which every row may be hidden; take mask span")
        steps, bands = [n // self.bands for n in layout.lengths], self.bands
        place = draw.to("cpu").uniform(self.spans, Purpose.MASK_PLACE).tolist()
        cut = [self._spans(n, row) for n, row in zip(steps, place, strict=True)]
        predict = tuple(span_rows(layout, bands, [[clip[k]] for clip in cut]) for k in range(self.spans))
        return replace(view, hidden=span_rows(layout, bands, cut), predict=predict)

    def _spans(self, steps: int, place: Sequence[float]) -> list[tuple[int, int]]:
        """First step and end of each span in a clip of ``steps``; nothing of a clip of one, which must be seen."""
        if steps < 2:
            return [(0, 0)] * self.spans
        size = max(1, min(round(self.share * steps), (steps - 1) // self.spans))
        if steps <= self.spans:
            place = [place[0]] * self.spans
        return [(int(at * (steps - size + 1)), int(at * (steps - size + 1)) + size) for at in place]
