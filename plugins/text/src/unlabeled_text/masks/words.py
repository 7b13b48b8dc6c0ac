"""Masks of BERT: tokens, whole words, spans; and the 80 / 10 / 10 of what stands at the chosen rows.

BERT, https://arxiv.org/abs/1810.04805: of the chosen rows (15 %), 80 % are hidden, 10 % show a random word, 10 % their
own; all are predicted. SpanBERT, https://arxiv.org/abs/1907.10529: spans of whole words, lengths Geometric(0.2) cut at
10, and one fate for a span. Differs: random words are never specials; of a text with any word, one row at least is
chosen; words are the pre-tokenizer's, so that this works for every tokenizer, in time linear in the length.

    # B samples, T packed rows, H chosen rows, W words
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import within
from unlabeled.masks.rows import choose, gather_rows, keys, layout_of, touchable
from unlabeled_text.batch import TextSpec
from unlabeled_text.ops.ragged import kept_lengths, owner, ranges, restart

Law = Literal["exact", "bernoulli"]
_LOW = 0xFFFFFFFF
_LAST = torch.iinfo(torch.int64).max
LONGEST = 10  # words of a span
STOP = 0.2  # p of the geometric law


def budget(ratio: float, limits: Sequence[int]) -> tuple[int, ...]:
    """``ratio`` of each count, rounded, and at least one where there is any."""
    return tuple(min(max(round(ratio * n), 1), n) for n in limits)


def rows_where(flags_T: Tensor, layout: Layout) -> Rows:
    """The rows where ``flags_T`` is True."""
    return gather_rows(flags_T, kept_lengths(flags_T, lengths_of(layout)))


def lengths_of(layout: Layout) -> Tensor:
    """``int64[B]``: rows of each sample, on the device."""
    return torch.tensor(layout.lengths, dtype=torch.int64, device=layout.position.device)


def chosen_rows(layout: Layout, draw: Draw, ratio: float, law: Law) -> Rows:
    """Maskable rows: an exact share of each sample, or each with probability ``ratio``."""
    limits = touchable(layout)
    count = torch.tensor(limits, device=layout.position.device)
    longest = max(limits, default=0)
    place = torch.arange(longest, device=count.device)
    words = draw.words(longest, Purpose.MASK)  # addressed by the place among those rows
    if law == "bernoulli":
        flags = ((words & _LOW) < int(ratio * (1 << 32))) & (place < count[:, None])
        lengths = tuple(flags.sum(1).tolist())
    else:
        lengths = budget(ratio, limits)
        flags = least(words, count, torch.tensor(lengths, device=count.device), max(lengths, default=0))
    if min(limits, default=0) < longest:
        flags = flags[place < count[:, None]]
    found = gather_rows(flags.flatten(), lengths)
    return found if layout.maskable is None else Rows(layout.maskable.index.index_select(0, found.index), lengths)


def least(words_BL: Tensor, count_B: Tensor, wanted_B: Tensor, most: int) -> Tensor:
    """``bool[B, L]``, True at the ``wanted[b]`` smallest of the first ``count[b]`` words: a uniform subset."""
    if not most:
        return torch.zeros_like(words_BL, dtype=torch.bool)
    place = torch.arange(words_BL.shape[1], device=words_BL.device)
    words_BL = (words_BL & _LAST).masked_fill(place >= count_B[:, None], _LAST)
    # a tenth of the time of sorting all of them
    found = words_BL.topk(most, dim=1, largest=False, sorted=True).indices
    chosen = torch.arange(most, device=found.device) < wanted_B[:, None]
    return torch.zeros_like(words_BL, dtype=torch.bool).scatter_(1, found, chosen)


def random_words(words_H: Tensor, spec: TextSpec) -> Tensor:
    """``int64[H]``: ordinary words, equally likely, from 32 random bits of each."""
    ordinary = spec.ordinary.to(words_H.device)
    return ordinary.index_select(0, ((words_H & _LOW) * len(ordinary)) >> 32)


def corrupt(
    view: View, chosen: Rows, fate_H: Tensor, fill_H: Tensor, hide: float, random: float, spec: TextSpec
) -> View:
    """The view with the chosen rows hidden, given a random word, or left, by ``fate_H``, 32 random bits of each."""
    layout, batch = view.layout, view.batch
    assert layout is not None
    tokens: Tensor = batch.tokens  # type: ignore[attr-defined]
    own_H = tokens.index_select(0, chosen.index)
    hidden_H = fate_H < int(hide * (1 << 32))
    other_H = ~hidden_H & (fate_H < int((hide + random) * (1 << 32)))
    counts = kept_lengths(hidden_H, torch.tensor(chosen.lengths, device=tokens.device))
    shown = tokens.index_copy(0, chosen.index, torch.where(other_H, random_words(fill_H, spec), own_H))
    hidden = Rows(chosen.index.index_select(0, gather_rows(hidden_H, counts).index), counts)
    return replace(view, hidden=hidden, predict=(chosen,), shown=shown, ids=tokens if view.ids is None else view.ids)


def check_shares(ratio: float, hide: float, random: float) -> None:
    """``ValueError`` for shares that are none."""
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; it must lie between 0 and 1, both excluded")
    within(0, 1, hide=hide, random=random)
    if hide + random > 1:
        raise ValueError(f"hide {hide} and random {random} are more than 1 together")


class Bert:
    """Tokens, each as likely as any other.

    Args:
        ratio: share of the tokens that are chosen and predicted, between 0 and 1.
        law: exact = just that share of each text; bernoulli = each token with that probability.
        hide: share of the chosen that the mask token stands for.
        random: share of the chosen that a random word stands for.
    """

    sets = frozenset({"hidden", "predict", "shown"})
    targets = 1
    flat = True

    def __init__(
        self,
        spec: TextSpec,
        *,
        ratio: float = 0.15,
        law: Literal["exact", "bernoulli"] = "exact",
        hide: float = 0.8,
        random: float = 0.1,
    ) -> None:
        check_shares(ratio, hide, random)
        self.spec, self.ratio, self.law, self.hide, self.random = spec, ratio, law, hide, random
        self.exact = law == "exact"

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        chosen = chosen_rows(layout, draw, self.ratio, self.law)
        fate, fill = at_rows(draw, Purpose.MASK_FILL, layout, chosen)
        return corrupt(view, chosen, fate, fill, self.hide, self.random, self.spec)


def at_rows(draw: Draw, purpose: int, layout: Layout, rows: Rows) -> tuple[Tensor, Tensor]:
    """Twice 32 random bits for each of ``rows``, addressed by sample and place."""
    sample, place = place_of(rows, layout)
    words = draw.rows(purpose, sample, place)
    return words & _LOW, (words >> 32) & _LOW


def place_of(rows: Rows, layout: Layout) -> tuple[Tensor, Tensor]:
    """``int64[H]``: the sample of each row, and its place there; at the cost of these rows alone."""
    device = rows.index.device
    sample = owner(torch.tensor(rows.lengths, device=device), len(rows))
    return sample, rows.index - torch.tensor(layout.offsets[:-1], device=device)[sample]


# ---------------------------------------------------------------------------------------------- words


def words_layout(view: View) -> tuple[Layout, Tensor]:
    """The view's words as rows, each maskable where its first token is; and ``int64[T]``, the word of each row."""
    layout, batch = view.layout, view.batch
    assert layout is not None
    starts: Tensor | None = batch.starts  # type: ignore[attr-defined]
    if starts is None:
        starts = torch.ones(layout.total, dtype=torch.bool, device=layout.position.device)
    lengths = kept_lengths(starts, lengths_of(layout))
    first_W = gather_rows(starts, lengths).index
    words = Layout(lengths, layout.position.index_select(0, first_W))
    if layout.maskable is not None:
        free = layout.maskable.flags(layout.total).index_select(0, first_W)
        words = replace(words, maskable=rows_where(free, words))
    return words, starts.cumsum(0) - 1


class WholeWord:
    """Whole words, each as likely as any other; of every tokenizer, by its pre-tokenizer's words.

    Args:
        ratio: share of the words that are chosen and predicted, between 0 and 1.
        law: exact = just that share of each text's words; bernoulli = each word with that probability.
        hide: share of the chosen tokens that the mask token stands for.
        random: share of the chosen tokens that a random word stands for.
    """

    sets = frozenset({"hidden", "predict", "shown"})
    targets = 1
    exact = False  # of tokens: words differ in length

    def __init__(
        self,
        spec: TextSpec,
        *,
        ratio: float = 0.15,
        law: Literal["exact", "bernoulli"] = "exact",
        hide: float = 0.8,
        random: float = 0.1,
    ) -> None:
        check_shares(ratio, hide, random)
        self.spec, self.share, self.law, self.hide, self.random = spec, ratio, law, hide, random

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        words, word_T = words_layout(view)
        flags_T = chosen_rows(words, draw, self.share, self.law).flags(words.total).index_select(0, word_T)
        if layout.maskable is not None:
            flags_T &= layout.maskable.flags(layout.total)
        chosen = rows_where(flags_T, layout)
        fate, fill = at_rows(draw, Purpose.MASK_FILL, layout, chosen)
        return corrupt(view, chosen, fate, fill, self.hide, self.random, self.spec)


# ---------------------------------------------------------------------------------------------- spans


def span_lengths(bits: Tensor) -> Tensor:
    """Lengths 1 to LONGEST from 32 random bits each: Geometric(STOP), cut and renormalized."""
    mass = STOP * (1 - STOP) ** torch.arange(LONGEST, dtype=torch.float64)
    edges = ((mass.cumsum(0) / mass.sum()) * (1 << 32)).long().to(bits.device)
    return (torch.searchsorted(edges, bits.contiguous(), right=True) + 1).clamp(max=LONGEST)


def first_cover(words: Layout, draw: Draw, tries: Tensor) -> Tensor:
    """``int64[W]``: number of the first random span of a sample that covers each word; ``tries[b]`` where none does."""
    most = int(tries.max()) if len(tries) else 0
    lengths_B1 = lengths_of(words)[:, None]
    size_BK = span_lengths(draw.bits(most, Purpose.MASK_SIZE)).minimum(lengths_B1)
    start_BK = draw.integers(most, Purpose.MASK_PLACE, lengths_B1 - size_BK + 1)
    valid_BK = torch.arange(most, device=tries.device) < tries[:, None]
    number_BK = torch.arange(most, device=tries.device).expand_as(size_BK)
    begin_B1 = torch.tensor(words.offsets[:-1], device=tries.device)[:, None]
    size = torch.where(valid_BK, size_BK, 0).flatten()
    total = int(size.sum())
    covered = ranges((start_BK + begin_B1).flatten(), size, total)
    by = number_BK.flatten().repeat_interleave(size, output_size=total)
    cover = tries[words.group]
    return cover.scatter_reduce(0, covered, by, "amin")


class SpanBert:
    """Spans of whole words until an exact share of the tokens is chosen; the last span is cut.

    Args:
        ratio: share of the tokens that are chosen and predicted, between 0 and 1.
        hide: share of the spans that mask tokens stand for.
        random: share of the spans that random words stand for.
    """

    sets = frozenset({"hidden", "predict", "shown"})
    targets = 1

    def __init__(self, spec: TextSpec, *, ratio: float = 0.15, hide: float = 0.8, random: float = 0.1) -> None:
        check_shares(ratio, hide, random)
        self.spec, self.ratio, self.hide, self.random = spec, ratio, hide, random

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        words, word_T = words_layout(view)
        counts = budget(self.ratio, touchable(layout))
        # of its own budget, so that a sample is masked alike in any batch
        tries = torch.tensor([n + 8 for n in counts], device=layout.position.device)
        cover_T = first_cover(words, draw, tries)[word_T]
        # by span, then by place: the budget ends inside a span; rows that no span covers come last, at random
        order = cover_T << 32 | torch.where(
            cover_T < tries[layout.group], layout.within, keys(layout, draw) & 0x7FFFFFFF
        )
        chosen = choose(order << 1, layout, counts)
        span_H = cover_T[chosen.index]
        fate = draw.rows(Purpose.MASK_FILL, layout.group[chosen.index], span_H) & _LOW
        _, fill = at_rows(draw, Purpose.SWAP, layout, chosen)
        return corrupt(view, chosen, fate, fill, self.hide, self.random, self.spec)


class Targets:
    """Several spans of each text to predict; all of them are hidden, the rest is the context (I-JEPA's scheme).

    Args:
        count: number of spans, from 1 on.
        least: shortest span, as a share of the text's tokens.
        most: longest span, as a share of the text's tokens.
    """

    sets = frozenset({"hidden", "predict"})
    exact = False  # spans may overlap

    def __init__(self, *, count: int = 4, least: float = 0.1, most: float = 0.2) -> None:
        if count < 1 or not 0 < least <= most < 1:
            raise ValueError(f"count {count}, least {least}, most {most}: count is 1 or more, 0 < least <= most < 1")
        self.count, self.least, self.most = count, least, most
        self.targets = count

    def __call__(self, view: View, draw: Draw) -> View:
        layout = layout_of(view)
        free = layout.all.flags(layout.total) if layout.maskable is None else layout.maskable.flags(layout.total)
        limits = torch.tensor(touchable(layout), device=free.device)[:, None]
        share = draw.uniform(self.count, Purpose.MASK_SIZE, self.least, self.most)
        size = (share * limits).round().long().clamp(min=1).minimum(limits)
        start = draw.integers(self.count, Purpose.MASK_PLACE, limits - size + 1)
        first = torch.tensor(layout.offsets[:-1], device=free.device)[layout.group]
        rank = restart(free.long(), first) - 1  # among the rows of its text that a mask may touch
        spans = [
            free & (rank >= start[:, n][layout.group]) & (rank < (start + size)[:, n][layout.group])
            for n in range(self.count)
        ]
        hidden = torch.stack(spans).any(0)
        return replace(
            view, hidden=rows_where(hidden, layout), predict=tuple(rows_where(span, layout) for span in spans)
        )
