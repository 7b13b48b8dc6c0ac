"""Views of two: a corrupted source, and the target that restores it. T5, UL2, BART, TSDAE, and a plain copy.

T5, https://arxiv.org/abs/1910.10683; UL2, https://arxiv.org/abs/2205.05131; BART, https://arxiv.org/abs/1910.13461;
TSDAE, https://arxiv.org/abs/2104.06979. A source stands in the spec's frame ([CLS] ... [SEP]); a target ends with the
suffix and has no prefix: decoders shift it by themselves.

    # B samples, T packed tokens of the texts, n body tokens of a sample
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.ops.edits import at_least_one, bernoulli, body_of, framed, keep, places, weave
from unlabeled_text.ops.ragged import owner, ranges, restart, starts_of, sums, within
from unlabeled_text.ops.spans import (
    Spans,
    gaps,
    poisson_spans,
    random_keys,
    runs,
    span_counts,
    spans_of,
    turned,
    with_ends,
)
from unlabeled_text.views.standard import alone

DENOISERS = ((3.0, 0.15), (8.0, 0.15), (3.0, 0.5), (8.0, 0.5), (64.0, 0.15), (64.0, 0.5))  # UL2: two R, four X
ENDS = (".", "!", "?", "。", "！", "？")


def body(batch: TextBatch, spec: TextSpec) -> tuple[Tensor, Tensor]:
    """The tokens between prefix and suffix, packed, and how many each sample has."""
    lengths = batch.counts - len(spec.prefix) - len(spec.suffix)
    if not spec.prefix and not spec.suffix:
        return batch.tokens, lengths
    return batch.tokens.index_select(0, body_rows(batch, spec)), lengths


def body_rows(batch: TextBatch, spec: TextSpec) -> Tensor:
    """The rows between prefix and suffix."""
    frame = len(spec.prefix) + len(spec.suffix)
    begin = starts_of(batch.counts) + len(spec.prefix)
    return ranges(begin, batch.counts - frame, len(batch.tokens) - frame * len(batch))


def view_of(batch: TextBatch, tokens_T: Tensor, lengths_B: Tensor, spec: TextSpec, role: str) -> View:
    """A view of packed bodies: a source in its frame, cut to the spec's length, a target with the suffix alone."""
    if role == "target":
        end = tokens_T.new_tensor(spec.suffix).repeat(len(batch)), torch.full_like(lengths_B, len(spec.suffix))
        tokens, lengths = weave([(tokens_T, lengths_B), end])
    else:
        room = spec.length - len(spec.prefix) - len(spec.suffix)
        if len(tokens_T) > room and int(lengths_B.max()) > room:  # inserted masks, translations, a mode token
            tokens_T = tokens_T[within(lengths_B, len(tokens_T)) < room]
            lengths_B = lengths_B.clamp(max=room)
        tokens, lengths = framed(tokens_T, lengths_B, spec)
    return View(TextBatch(batch.ids, tokens, lengths), role)


def split_spans(batch: TextBatch, spans: Spans, spec: TextSpec, mode_B: np.ndarray | None = None) -> list[View]:
    """Source and target of T5: each noise span is one sentinel in the source, and stands after it in the target.

    Spans are counted from the first body token. ``mode_B`` are tokens that stand before the source's body.
    """
    count, total = np.array(batch.lengths), len(batch.tokens)
    first = np.cumsum(count) - count
    begin = first[spans.sample] + len(spec.prefix) + spans.start
    before = np.cumsum(spans.counts) - spans.counts
    sentinel = np.array(spec.sentinels)[np.arange(len(begin)) - before[spans.sample]]
    noise = runs(begin, spans.size)
    # both texts are gathered from one pool: the batch's tokens, the sentinel of each span, then specials
    keep, index = np.ones(total, bool), np.arange(total)
    keep[noise] = False
    keep[begin] = True
    index[begin] = total + np.arange(len(begin))
    extra, lengths = [sentinel, np.array(spec.suffix, np.int64)], count + spans.counts
    lengths = lengths - np.bincount(spans.sample, spans.size, len(count)).astype(np.int64)
    rows = index[keep]
    if mode_B is not None:
        place = np.cumsum(lengths) - lengths + len(spec.prefix)
        rows = np.insert(rows, place, total + len(begin) + len(spec.suffix) + np.arange(len(count)))
        extra, lengths = [*extra, mode_B], lengths + 1
    pool = torch.cat((batch.tokens, torch.from_numpy(np.concatenate(extra)).to(batch.tokens)))

    def gathered(rows: np.ndarray, lengths: np.ndarray, role: str) -> View:
        tokens = pool.index_select(0, torch.from_numpy(rows).to(pool.device))
        return View(TextBatch(batch.ids, tokens, tuple(lengths.tolist())), role)

    return [gathered(rows, lengths, "source"), gathered(*_target_rows(noise, spans, total, len(spec.suffix)), "target")]


def _target_rows(noise: np.ndarray, spans: Spans, total: int, tail: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pool that make the targets, and their lengths: each span behind its sentinel, a suffix at the end."""
    count = len(spans.size)
    lengths = np.bincount(spans.sample, spans.size + 1, len(spans.counts)).astype(np.int64) + tail
    place = np.cumsum(spans.size + 1) - spans.size - 1 + spans.sample * tail
    rows = np.empty(int(lengths.sum()), np.int64)
    rows[place] = total + np.arange(count)
    rows[np.arange(len(noise)) + np.repeat(place + 1 - np.cumsum(spans.size) + spans.size, spans.size)] = noise
    for number in range(tail):
        rows[np.cumsum(lengths) - tail + number] = total + count + number
    return rows, lengths


def bodies(batch: TextBatch, spec: TextSpec) -> np.ndarray:
    """``int64[B]``: tokens between prefix and suffix, on the host."""
    return np.array(batch.lengths, np.int64) - len(spec.prefix) - len(spec.suffix)


def shorter(batch: TextBatch, spec: TextSpec, room: int) -> TextBatch:
    """The batch, texts of the spec's greatest length without the last ``room`` body tokens, where others will stand."""
    if max(batch.lengths, default=0) <= spec.length - room:
        return batch
    tokens, n = body(batch, spec)
    most = spec.length - len(spec.prefix) - len(spec.suffix) - room
    kept = within(n, len(tokens)) < most
    tokens, lengths = framed(tokens[kept], n.clamp(max=most), spec)
    return TextBatch(batch.ids, tokens, lengths)


def need_sentinels(spec: TextSpec, who: str, least: int = 2) -> None:
    """``ValueError`` where the vocabulary has no tokens to stand for spans."""
    if len(spec.sentinels) < least:
        raise ValueError(
            f"{who} needs sentinels (<extra_id_0>, ...), and this tokenizer has {len(spec.sentinels)}: train one with "
            "--data.tokenizer wordpiece, or use bytes"
        )


class T5:
    """Spans of the text are sentinels in the source, and are spelled out in the target.

    Args:
        density: share of the tokens that are noise, between 0 and 1.
        mean: mean length of a span in tokens, from 1 on (mu).
        law: edge = T5's, where the last token is always noise; uniform = every token equally often.
    """

    roles = ("source", "target")
    params = ()

    def __init__(
        self, spec: TextSpec, *, density: float = 0.15, mean: float = 3.0, law: Literal["edge", "uniform"] = "uniform"
    ) -> None:
        if not 0 < density < 1 or mean < 1:
            raise ValueError(f"density is {density} and mean {mean}; density must lie in (0, 1), and mean be 1 or more")
        need_sentinels(spec, "t5")
        self.spec, self.density, self.mean, self.law = spec, density, mean, law

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        n = bodies(batch, self.spec)
        density, mean = np.full(len(n), self.density), np.full(len(n), self.mean)
        spans = spans_of(n, density, mean, draw, uniform=self.law == "uniform", most=len(self.spec.sentinels))
        return split_spans(batch, spans, self.spec)


def refuse_long_texts(spec: TextSpec, density: float, mean: float, who: str) -> None:
    """``ValueError`` where texts of the greatest length have more spans than sentinels: spans would grow unasked."""
    most = spec.length - len(spec.prefix) - len(spec.suffix)
    _, count = span_counts(np.array([most]), np.array([density]), np.array([mean]), most)
    if (wanted := int(count[0]) + 1) > len(spec.sentinels):
        raise ValueError(
            f"{who} cuts texts of {spec.length} tokens into up to {wanted} spans, and this tokenizer has "
            f"{len(spec.sentinels)} sentinels to stand for them: lower --data.length, or train one with "
            "--data.tokenizer wordpiece, which gets enough"
        )


class UL2:
    """A mixture: short spans (R), long or many spans (X), or the text's end (S), announced by a mode token.

    Args:
        prefix: probability of S, whose target is the text's end, a quarter of it on average.
    """

    roles = ("source", "target")
    params = ("denoiser",)

    def __init__(self, spec: TextSpec, *, prefix: float = 0.25) -> None:
        if not 0 <= prefix <= 1:
            raise ValueError(f"prefix is {prefix}; it must be in [0, 1]")
        need_sentinels(spec, "ul2")
        refuse_long_texts(spec, 0.5, 3.0, "ul2")
        self.spec, self.prefix = spec, prefix

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        batch = shorter(batch, self.spec, 1) if self.spec.modes else batch
        n, laws, draw = bodies(batch, self.spec), np.array(DENOISERS), draw.to("cpu")
        chosen = draw.integers(1, Purpose.MIX, len(DENOISERS))[:, 0].numpy()
        ends = draw.bernoulli(1, Purpose.SPLIT, self.prefix)[:, 0].numpy() & (n > 1)
        density = np.where(ends, 0.0, laws[chosen, 1])
        spans = spans_of(n, density, laws[chosen, 0], draw, uniform=True, most=len(self.spec.sentinels))
        tail = 1 + (random_keys(draw, 1, Purpose.SLICE)[:, 0].astype(np.int64) * np.maximum(n // 2, 1) >> 32)
        spans = with_ends(spans, np.flatnonzero(ends), (n - tail)[ends], tail[ends])
        kind = np.where(ends, 1, np.where(chosen < 2, 0, 2))
        mode = np.array(self.spec.modes)[kind] if self.spec.modes else None
        params = {"denoiser": torch.from_numpy(kind).to(batch.tokens.device)}
        return [replace(v, params=params) for v in split_spans(batch, spans, self.spec, mode)]


class Delete:
    """Words are deleted from the source; the target is the whole text.

    Args:
        ratio: share of the tokens that are deleted, in [0, 1); one at least remains.
    """

    roles = ("source", "target")
    params = ()

    def __init__(self, spec: TextSpec, *, ratio: float = 0.6) -> None:
        if not 0 <= ratio < 1:
            raise ValueError(f"ratio is {ratio}; it must be in [0, 1)")
        self.spec, self.ratio = spec, ratio

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        sample, place = places(batch)
        inside = body_of(batch, self.spec)
        kept = inside & ~bernoulli(draw, Purpose.NOISE, sample, place, self.ratio)
        kept = at_least_one(kept, inside, place, sample, len(batch)) | ~inside
        return [View(keep(batch, kept), "source"), view_of(batch, *body(batch, self.spec), self.spec, "target")]


class Copy:
    """The source is the text as it is, for masks and encoder-side losses; the target is the whole text."""

    roles = ("source", "target")
    params = ()

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        return [View(alone(batch), "source"), view_of(batch, *body(batch, self.spec), self.spec, "target")]


class Bart:
    """Noise of BART on the source, in this order: sentences permuted, text rotated, tokens deleted, spans infilled.

    Args:
        infill: share of the tokens that stand in spans, each of which is one mask token; in [0, 1).
        mean: mean length of a span, Poisson, in tokens (lambda); a span of none inserts a mask token.
        permute: put the sentences in random order.
        rotate: probability that the text is turned to begin at a random token, in [0, 1].
        delete: share of the tokens that are deleted, in [0, 1).
    """

    roles = ("source", "target")
    params = ()

    def __init__(
        self,
        spec: TextSpec,
        *,
        infill: float = 0.3,
        mean: float = 3.0,
        permute: bool = True,
        rotate: float = 0.0,
        delete: float = 0.0,
    ) -> None:
        above(0, mean=mean)
        if not (0 <= infill < 1 and 0 <= delete < 1 and 0 <= rotate <= 1):
            raise ValueError(f"infill {infill}, delete {delete} must be in [0, 1), and rotate {rotate} in [0, 1]")
        if spec.mask is None and infill:
            raise ValueError("infilling needs a mask token, and this tokenizer has none: set --views.infill 0")
        self.spec, self.infill, self.mean = spec, infill, mean
        self.permute, self.rotate, self.delete = permute, rotate, delete
        self.ends = torch.tensor([word.strip("Ġ▁# ") in ENDS for word in spec.words_of_vocabulary()])

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        tokens, n = body(batch, self.spec)
        target = view_of(batch, tokens, n, self.spec, "target")
        if self.permute:
            tokens = permuted(tokens, n, self.ends.to(tokens.device)[tokens], draw)
        if self.rotate:
            chosen = draw.bernoulli(1, Purpose.ROTATE, self.rotate)[:, 0][owner(n, len(tokens))]
            tokens = torch.where(chosen, turned(tokens, n, draw), tokens)
        if self.delete:
            sample, place = owner(n, len(tokens)), within(n, len(tokens))
            kept = ~bernoulli(draw, Purpose.NOISE, sample, place, self.delete) | (place == 0)
            tokens, n = tokens[kept], sums(kept, n)
        if self.infill:
            assert self.spec.mask is not None
            tokens, n = infilled(tokens, n, self.infill, self.mean, self.spec.mask, draw)
        return [view_of(batch, tokens, n, self.spec, "source"), target]


def permuted(tokens_T: Tensor, n_B: Tensor, ends_T: Tensor, draw: Draw) -> Tensor:
    """The sentences of each text in random order; ``ends_T``, True = the token ends a sentence."""
    total = len(tokens_T)
    sample = owner(n_B, total)
    after = torch.zeros(total, dtype=torch.int64, device=tokens_T.device)
    after[1:] = ends_T[:-1] & (sample[1:] == sample[:-1])
    sentence = restart(after, starts_of(n_B)[sample])
    key = draw.rows(Purpose.ORDER, sample, sentence) & 0xFFFFFF
    # by sample, then by the sentence's key, then as they stood; equal keys are told apart by the sentence itself
    order = torch.argsort(((sample << 24 | key) << 20 | sentence), stable=True)
    return tokens_T[order]


def infilled(
    tokens_T: Tensor, n_B: Tensor, density: float, mean: float, mask: int, draw: Draw
) -> tuple[Tensor, Tensor]:
    """Poisson spans of each text, each replaced by one mask token: packed tokens, and their number."""
    host = n_B.cpu().numpy()
    laid = poisson_spans(host, density, mean, draw)
    drawn = (*laid, gaps(host - laid[0].sum(1), laid[1], draw))
    sizes, count, between = (torch.from_numpy(part).to(n_B.device) for part in drawn)
    kept = n_B - sizes.sum(1)
    wide = max(between.shape[1], sizes.shape[1] + 1)
    between = torch.nn.functional.pad(between, (0, wide - between.shape[1]))
    sizes = torch.nn.functional.pad(sizes, (0, wide - sizes.shape[1]))
    sense = torch.tensor([True, False], device=n_B.device).repeat(len(n_B) * wide)
    lengths = torch.stack((between, sizes), dim=2).flatten()
    stays = sense.repeat_interleave(lengths, output_size=len(tokens_T))
    total = kept + count
    out = tokens_T.new_empty(int(total.sum()))
    first = starts_of(total)[:, None]
    number = torch.arange(wide, device=n_B.device)
    at = first + between.cumsum(1) + number  # place of each mask token
    is_mask = torch.zeros(len(out), dtype=torch.bool, device=n_B.device)
    is_mask[at[number < count[:, None]]] = True
    out[is_mask] = mask
    out[~is_mask] = tokens_T[stays]
    return out, total
