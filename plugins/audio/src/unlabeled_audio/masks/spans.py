"""Masks over time (and mel bands): spans of wav2vec 2.0 and HuBERT, equal spans, blocks, inverse blocks, chunks.

wav2vec 2.0 https://arxiv.org/abs/2006.11477, HuBERT https://arxiv.org/abs/2106.07447, SSAST
https://arxiv.org/abs/2110.09784, data2vec 2.0 https://arxiv.org/abs/2212.07525, EAT https://arxiv.org/abs/2401.03497.

Every mask hides an exact count, which depends on a clip's rows alone: spans are laid down one by one, in random order,
until the count is reached, and the last is cut. No loop does that: a step is hidden in the turn of the first span that
covers it, which is the least key among the spans that reach it (a sliding minimum), so the count's smallest are hidden.

Differs: the papers draw how many spans begin, and what is hidden follows; the realized share (.49 for p = .65 and L =
10 in wav2vec 2.0, .55 for .8 in HuBERT) is set here. Spans may reach over the ends of a clip, so that every step is
hidden equally often, where the papers' hide the first and last steps less.

    # G clips, T packed rows, L steps of the longest clip, V bands of a step
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled.masks.rows import choose, gather_rows, share, touchable

PLACES = (1 << 21) - 1  # low bits of a key that give way to a row's place in its clip


def bands_of(encoder: Any) -> int:
    """Rows of one step."""
    return int(getattr(encoder, "bands", 1))


def sliding_min(keys: Tensor, width: int) -> Tensor:
    """Least of ``width`` neighbors along the last dimension: ``[..., n] -> [..., n - width + 1]``."""
    done = 1
    while done < width:  # windows of 1, 2, 4, ...: log2(width) passes instead of width
        step = min(done, width - done)
        keys = torch.minimum(keys[..., :-step], keys[..., step:])
        done += step
    return keys


def span_keys(draw: Draw, steps: int, length: int) -> Tensor:
    """``int64[G, L]``: the turn in which each step is hidden, by the first of the spans that reach it."""
    return sliding_min(draw.words(steps + length - 1, Purpose.MASK_PLACE), length)


def block_keys(draw: Draw, steps: int, bands: int, block: tuple[int, int]) -> Tensor:
    """``int64[G, L, V]``: likewise for blocks of steps by bands."""
    wide, high = block
    words = draw.words((steps + wide - 1) * (bands + high - 1), Purpose.MASK_PLACE)
    words = words.unflatten(1, (steps + wide - 1, bands + high - 1))
    return sliding_min(sliding_min(words, high).transpose(1, 2), wide).transpose(1, 2)


def by_band(keys_GL: Tensor, bands: int) -> Tensor:
    """The key of a step for each of its rows."""
    return keys_GL if bands == 1 else keys_GL.repeat_interleave(bands, 1)


def packed(keys_GL: Tensor, layout: Layout) -> Tensor:
    """``[G, rows] -> [T]``: the keys of each clip's own rows."""
    width = keys_GL.shape[1]
    if layout.equal:
        return keys_GL[:, : layout.lengths[0]].flatten() if layout.lengths else keys_GL.flatten()
    return keys_GL.flatten()[layout.group * width + layout.within]


class SpanMask:
    """Spans of time until a share is hidden: wav2vec 2.0's and HuBERT's masks.

    Args:
        ratio: share of each clip's steps that is hidden, between 0 and 1 (.49 is wav2vec 2.0's, .55 HuBERT's).
        length: steps of a span, M (10 = 200 ms at 20 ms a row).
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, encoder: Any = None, *, ratio: float = 0.49, length: int = 10) -> None:
        _check(ratio, length=length)
        self.ratio, self.length, self.bands = ratio, length, bands_of(encoder)

    def __call__(self, view: View, draw: Draw) -> View:
        layout = view.layout
        assert layout is not None
        steps, bands = tuple(n // self.bands for n in layout.lengths), self.bands
        keys = span_keys(draw, max(steps, default=0), self.length)
        return _hide(view, layout, by_band(keys, bands), self.ratio)


class EqualSpanMask:
    """Whole spans that do not overlap, as many in each clip as its share asks for.

    Args:
        ratio: share of each clip's steps that is hidden, between 0 and 1; in whole spans, and at least one.
        length: steps of a span; clips with less than twice as many have spans of half their steps.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, encoder: Any = None, *, ratio: float = 0.5, length: int = 10) -> None:
        _check(ratio, length=length)
        self.share, self.length, self.bands = ratio, length, bands_of(encoder)

    def spans(self, steps: int) -> tuple[int, int]:
        """How many spans a clip of ``steps`` gets, and how long they are."""
        length = max(1, min(self.length, steps // 2))
        return max(0, min(max(1, round(self.share * steps / length)), (steps - 1) // length)), length

    def __call__(self, view: View, draw: Draw) -> View:
        layout = view.layout
        assert layout is not None
        if layout.maskable is not None:
            raise ValueError("equal spans need clips of which every row may be hidden; take mask span")
        steps, bands = tuple(n // self.bands for n in layout.lengths), self.bands
        plan = torch.tensor([self.spans(n) for n in steps], device=layout.position.device).reshape(-1, 2)
        count, length, size = plan[:, :1], plan[:, 1:], torch.tensor(steps, device=plan.device)[:, None]
        # a clip is a row of spans, each one slot, and of free steps: choose which slots are spans
        slots = size - count * (length - 1)
        words = draw.words(max(steps, default=0), Purpose.MASK_PLACE) >> 1
        place = torch.arange(words.shape[1], device=words.device)
        words = words.masked_fill(place >= slots, torch.iinfo(torch.int64).max)
        chosen = torch.zeros_like(words, dtype=torch.bool)
        chosen = chosen.scatter_(1, torch.argsort(words, dim=1, stable=True), place < count)
        begin = place + (chosen.cumsum(1) - 1) * (length - 1)
        edges = torch.zeros(len(words), words.shape[1] + 1, dtype=torch.int64, device=words.device)
        outside = torch.full_like(begin, words.shape[1])
        edges.scatter_add_(1, torch.where(chosen, begin, outside), chosen.long())
        edges.scatter_add_(1, torch.where(chosen, begin + length, outside).clamp(max=words.shape[1]), -chosen.long())
        flags = (edges.cumsum(1)[:, :-1] > 0).repeat_interleave(bands, 1)
        lengths = tuple(bands * n * m for n, m in (self.spans(s) for s in steps))
        return replace(view, hidden=gather_rows(packed(flags, layout), lengths))


class BlockMask:
    """Blocks of time and mel bands until a share is hidden; on rows without bands, spans.

    Args:
        ratio: share of each clip's rows that is hidden, between 0 and 1.
        steps: of a block, in time.
        bands: of a block, in mel bands.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, encoder: Any = None, *, ratio: float = 0.5, steps: int = 5, bands: int = 5) -> None:
        _check(ratio, steps=steps, bands=bands)
        self.ratio, self.block, self.bands = ratio, (steps, bands), bands_of(encoder)

    def __call__(self, view: View, draw: Draw) -> View:
        layout = view.layout
        assert layout is not None
        return _hide(view, layout, _block_rows(layout, draw, self.block, self.bands), self.ratio)


class InverseBlockMask:
    """Everything is hidden but blocks of time and mel bands: data2vec 2.0's and EAT's mask.

    Args:
        ratio: share of each clip's rows that is hidden, between 0 and 1.
        steps: of a block that stays, in time.
        bands: of a block that stays, in mel bands.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, encoder: Any = None, *, ratio: float = 0.8, steps: int = 5, bands: int = 5) -> None:
        _check(ratio, steps=steps, bands=bands)
        self.ratio, self.block, self.bands = ratio, (steps, bands), bands_of(encoder)

    def __call__(self, view: View, draw: Draw) -> View:
        layout = view.layout
        assert layout is not None
        # the last to be covered by a block are hidden: complemented keys turn the order around
        return _hide(view, layout, ~_block_rows(layout, draw, self.block, self.bands), self.ratio)


class ChunkMask:
    """Chunks of time that lie side by side, all or none of each: SSAST's frames, BEST-RQ's and NEST's blocks.

    Args:
        ratio: share of each clip's steps that is hidden, between 0 and 1; one chunk of a clip is cut to reach it.
        length: steps of a chunk.
    """

    sets = frozenset({"hidden"})
    targets = 0

    def __init__(self, encoder: Any = None, *, ratio: float = 0.5, length: int = 4) -> None:
        _check(ratio, length=length)
        self.ratio, self.length, self.bands = ratio, length, bands_of(encoder)

    def __call__(self, view: View, draw: Draw) -> View:
        layout = view.layout
        assert layout is not None
        steps, bands = tuple(n // self.bands for n in layout.lengths), self.bands
        longest = max(steps, default=0)
        # chunks begin anywhere, so that no step is always the first of one
        shift = draw.integers(1, Purpose.MASK_SIZE, self.length)
        chunk = (torch.arange(longest, device=shift.device) + shift) // self.length
        keys = draw.words(longest // self.length + 2, Purpose.MASK).gather(1, chunk)
        return _hide(view, layout, by_band(keys, bands), self.ratio)


def _block_rows(layout: Layout, draw: Draw, block: tuple[int, int], bands: int) -> Tensor:
    steps = tuple(n // bands for n in layout.lengths)
    return block_keys(draw, max(steps, default=0), bands, (block[0], min(block[1], bands))).flatten(1)


def _hide(view: View, layout: Layout, keys_GL: Tensor, ratio: float) -> View:
    """Hide the rows with the smallest keys, ``ratio`` of each clip; of a span's rows, which share a key, the first."""
    place = torch.arange(keys_GL.shape[1], device=keys_GL.device)
    # the place in the low bits: where no two keys are equal, `choose` needs no stable sort
    keys_GL = (keys_GL & ~PLACES) | (place << 1)
    hidden: Rows = choose(packed(keys_GL, layout), layout, share(ratio, touchable(layout)))
    return replace(view, hidden=hidden)


def _check(ratio: float, **sizes: int) -> None:
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; it must lie between 0 and 1, both excluded")
    above(0, **sizes)
