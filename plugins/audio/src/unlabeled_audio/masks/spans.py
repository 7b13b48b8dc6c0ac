"""Masks over time: spans of wav2vec 2.0 and HuBERT, equal spans, chunks; all mel bands of a step are hidden together.

wav2vec 2.0 https://arxiv.org/abs/2006.11477, HuBERT https://arxiv.org/abs/2106.07447, SSAST
https://arxiv.org/abs/2110.09784. Every mask hides an exact count, which depends on a clip's rows alone: spans are laid
down one by one, in random order, until the count is reached, and the last is cut.

Differs: the papers draw how many spans begin, and what is hidden follows; the realized share (.49 for p = .65 and L =
10 in wav2vec 2.0, .55 for .8 in HuBERT) is set here. Spans may reach over the ends of a clip, so that every step is
hidden equally often, where the papers' hide the first and last steps less.

    # G clips, T packed rows, L steps of the longest clip, N rows of the longest clip
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled.masks.grid import by_place, turns
from unlabeled.masks.rows import ShareMask, check_share, gather_rows, layout_of, smallest
from unlabeled.transfer import numbers


def bands_of(encoder: Any) -> int:
    """Rows of one step."""
    return int(getattr(encoder, "bands", 1))


class TimeMask(ShareMask):
    """Hides an exact share of each clip's rows, by keys of its steps and bands."""

    def __init__(self, encoder: Any, ratio: float, **sizes: int) -> None:
        super().__init__(ratio)
        above(0, **sizes)
        self.per_step = bands_of(encoder)

    def keys(self, steps: int, draw: Draw) -> Tensor:
        """``int64[G, N]``: a key for each row of clips of ``steps``; the smallest are hidden."""
        raise NotImplementedError

    def order(self, layout: Layout, draw: Draw) -> Tensor:
        longest = max(layout.lengths, default=0) // self.per_step
        return layout.pack(by_place(self.keys(longest, draw)))


class SpanMask(TimeMask):
    """Spans of time until a share is hidden: wav2vec 2.0's and HuBERT's masks.

    Args:
        ratio: share of each clip's steps that is hidden, between 0 and 1 (.49 is wav2vec 2.0's, .55 HuBERT's).
        length: steps of a span, M (10 = 200 ms at 20 ms a row).
    """

    def __init__(self, encoder: Any = None, *, ratio: float = 0.49, length: int = 10) -> None:
        super().__init__(encoder, ratio, length=length)
        self.length = length

    def keys(self, steps: int, draw: Draw) -> Tensor:
        return turns(draw, (steps,), (self.length,)).repeat_interleave(self.per_step, 1)


class ChunkMask(TimeMask):
    """Chunks of time that lie side by side, all or none of each: SSAST's frames, BEST-RQ's and NEST's blocks.

    Args:
        ratio: share of each clip's steps that is hidden, between 0 and 1; one chunk of a clip is cut to reach it.
        length: steps of a chunk.
    """

    def __init__(self, encoder: Any = None, *, ratio: float = 0.5, length: int = 4) -> None:
        super().__init__(encoder, ratio, length=length)
        self.length = length

    def keys(self, steps: int, draw: Draw) -> Tensor:
        # chunks begin anywhere, so that no step is always the first of one
        shift = draw.integers(1, Purpose.MASK_SIZE, self.length)
        chunk = (torch.arange(steps, device=shift.device) + shift) // self.length
        words = draw.words(steps // self.length + 2, Purpose.MASK)
        return words.gather(1, chunk).repeat_interleave(self.per_step, 1)


class EqualSpanMask:
    """Whole spans that do not overlap, as many in each clip as its share asks for.

    Args:
        ratio: share of each clip's steps that is hidden, between 0 and 1; in whole spans, and at least one.
        length: steps of a span; clips with less than twice as many have spans of half their steps.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, encoder: Any = None, *, ratio: float = 0.5, length: int = 10) -> None:
        check_share(ratio=ratio)
        above(0, length=length)
        self.share, self.length, self.bands = ratio, length, bands_of(encoder)

    def spans(self, steps: int) -> tuple[int, int]:
        """How many spans a clip of ``steps`` gets, and how long they are."""
        length = max(1, min(self.length, steps // 2))
        return max(0, min(max(1, round(self.share * steps / length)), (steps - 1) // length)), length

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        if layout.maskable is not None:
            raise ValueError("equal spans need clips of which every row may be hidden; take mask span")
        steps, bands = tuple(n // self.bands for n in layout.lengths), self.bands
        plan = [self.spans(n) for n in steps]
        counts = tuple(count for count, _ in plan)
        count, length = numbers([n for pair in plan for n in pair], layout.position.device).reshape(-1, 2, 1).unbind(1)
        size = numbers(steps, count.device)[:, None]
        # a clip is a row of spans, each one slot, and of free steps: choose which slots are spans
        slots = size - count * (length - 1)
        words = draw.words(max(steps, default=0), Purpose.MASK_PLACE) >> 1
        place = torch.arange(words.shape[1], device=words.device)
        words = words.masked_fill(place >= slots, torch.iinfo(torch.int64).max)
        chosen = smallest(words, counts)
        begin = place + (chosen.cumsum(1) - 1) * (length - 1)
        edges = torch.zeros(len(words), words.shape[1] + 1, dtype=torch.int64, device=words.device)
        outside = torch.full_like(begin, words.shape[1])
        edges.scatter_add_(1, torch.where(chosen, begin, outside), chosen.long())
        edges.scatter_add_(1, torch.where(chosen, begin + length, outside).clamp(max=words.shape[1]), -chosen.long())
        flags = (edges.cumsum(1)[:, :-1] > 0).repeat_interleave(bands, 1)
        return replace(view, hidden=gather_rows(layout.pack(flags), tuple(bands * n * m for n, m in plan)))
