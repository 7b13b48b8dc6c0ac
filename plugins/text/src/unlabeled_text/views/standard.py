"""Views that keep the words as they are: the whole text, the text twice, spans of it, neighbors.

SimCSE, https://arxiv.org/abs/2104.08821; DeCLUTR, https://arxiv.org/abs/2006.03659; SciNCL,
https://arxiv.org/abs/2202.06671. Differs: DeCLUTR draws several anchors from one long document, here a sample gives one
anchor and one positive.

    # B samples, T packed tokens
"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import below_one
from unlabeled.errors import within as between
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.ops.edits import at_least_one, bernoulli, body_of, framed, keep, places, weave


def alone(batch: TextBatch) -> TextBatch:
    """The batch without its partners."""
    if all(texts is None for texts in (batch.near, batch.far, batch.hard)):
        return batch
    return replace(batch, near=None, far=None, hard=None)


class Plain:
    """The text as it is."""

    roles = ("global",)
    params = ()

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        return [View(alone(batch), "global")]


class Twice:
    """The same text in two views: the encoder's dropout is all that tells them apart."""

    roles = ("global", "global")
    params = ()

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        return [View(alone(batch), "global"), View(alone(batch), "global")]


class Clean:
    """The text as it is: what features are taken from."""

    roles = ("clean",)
    params = ()

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        return [View(alone(batch), "clean")]


class Spans:
    """Two spans of each text, with words left out at random.

    Args:
        law: of lengths: uniform between least and most, each view on its own; or declutr, a long anchor, Beta(4, 2),
            and a shorter positive, Beta(2, 4), that overlaps it, touches it or lies inside.
        least: shortest span, as a share of the text.
        most: longest span, as a share of the text.
        leave_out: share of tokens that are left out of a span.
        whole: bring the whole text too, as a target that is to be restored (DenoSent).
    """

    roles: tuple[str, ...] = ("global", "global")
    params = ()

    def __init__(
        self,
        spec: TextSpec,
        *,
        law: Literal["uniform", "declutr"] = "uniform",
        least: float = 0.5,
        most: float = 1.0,
        leave_out: float = 0.1,
        whole: bool = False,
    ) -> None:
        between(0, 1, least=least, most=most)
        if least > most or most == 0:
            raise ValueError(f"least is {least} and most {most}; the smaller comes first, and most is above 0")
        below_one(leave_out=leave_out)
        self.spec, self.law, self.least, self.most, self.leave_out = spec, law, least, most, leave_out
        self.whole, self.roles = whole, ("global", "global", "target") if whole else ("global", "global")

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        body_B = batch.counts - len(self.spec.prefix) - len(self.spec.suffix)
        spans = [self._span(draw.at(number), body_B, number) for number in range(2)]
        if self.law == "declutr":
            spans[1] = (beside(draw, spans[0], spans[1][1], body_B), spans[1][1])
        views = [self._view(batch, draw.at(number), *span) for number, span in enumerate(spans)]
        return [*views, View(alone(batch), "target")] if self.whole else views

    def _span(self, draw: Draw, body_B: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Start and length of each sample's span, in body tokens."""
        if self.law == "declutr":
            share = draw.uniform(5, Purpose.CROP).sort(dim=1).values[:, 3 if number == 0 else 1]
        else:
            share = draw.uniform(1, Purpose.CROP)[:, 0]
        share = (share * (self.most - self.least)) + self.least
        size = (share * body_B).round().long().clamp(min=1).minimum(body_B)
        start = draw.integers(1, Purpose.CROP_PLACE, (body_B - size + 1)[:, None])[:, 0]
        return start, size

    def _view(self, batch: TextBatch, draw: Draw, start_B: Tensor, size_B: Tensor) -> View:
        sample, place = places(batch)
        body = body_of(batch, self.spec)
        inside = place - len(self.spec.prefix) - start_B[sample]
        span = body & (inside >= 0) & (inside < size_B[sample])
        kept = span & ~bernoulli(draw, Purpose.NOISE, sample, place, self.leave_out) if self.leave_out else span
        kept = at_least_one(kept, span, place, sample, len(batch))
        return View(keep(batch, kept | ~body), "global")


def beside(draw: Draw, anchor: tuple[Tensor, Tensor], size_B: Tensor, body_B: Tensor) -> Tensor:
    """Start of a span of ``size_B`` that overlaps the anchor ``(start, size)``, touches it or lies inside."""
    low = (anchor[0] - size_B).clamp(min=0)
    high = (anchor[0] + anchor[1]).minimum(body_B - size_B)
    return draw.integers(1, Purpose.SHIFT, (high + 1)[:, None], low[:, None])[:, 0]


# ---------------------------------------------------------------------------------------------- with partners


def pick(texts: TextBatch, draw: Draw, purpose: int) -> TextBatch:
    """One of the M partners of each sample, as the samples' own batch."""
    count = len(draw)
    each = len(texts) // count
    chosen = draw.integers(1, purpose, each)[:, 0]
    flags = (
        torch.zeros(count, each, dtype=torch.bool, device=chosen.device).scatter_(1, chosen[:, None], True).flatten()
    )
    found = texts.counts[flags]
    rows = flags.repeat_interleave(texts.counts, output_size=len(texts.tokens))
    return TextBatch(
        draw.ids, texts.tokens[rows], tuple(found.tolist()), None if texts.starts is None else texts.starts[rows]
    )


class Neighbors:
    """A text, a linked text, and one from elsewhere: anchor, positive and negative, in this order.

    With ranks, positive and a second, hard negative come from the neighborhood in the graph of links (SciNCL). In a
    corpus too small for them ranks are at most a fiftieth (near) and a quarter (hard) of the texts.

    Args:
        near: rank of the positive among the nearest texts of the graph, 25 in the paper; 0 = a linked text itself.
        hard: rank of the hard negative among them, 4000 in the paper; 0 = none.
    """

    roles: tuple[str, ...] = ("global", "global", "global")
    params = ()

    def __init__(self, spec: TextSpec, *, near: int = 0, hard: int = 0) -> None:
        if min(near, hard) < 0 or 0 < hard <= near:
            raise ValueError(f"near is {near} and hard is {hard}; both are 0 or more, and hard comes after near")
        self.spec, self.hard = spec, hard
        self.asks = (f"near@{near}" if near else "near", "far", *([f"hard@{hard}"] if hard else []))
        self.roles = ("global",) * (4 if hard else 3)

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        assert batch.near is not None, "the data brings near texts"
        assert batch.far is not None, "the data brings far texts"
        texts = [alone(batch), pick(batch.near, draw, Purpose.WALK), pick(batch.far, draw, Purpose.MIX)]
        if self.hard:
            assert batch.hard is not None, "the data brings hard texts"
            texts.append(pick(batch.hard, draw, Purpose.SLICE))
        return [View(text, "global") for text in texts]


class Pairs:
    """Two spans in one sample, [CLS] a [SEP] b [SEP]: from the same text, or b from elsewhere; ``same`` says which.

    Args:
        level: what the same is: a paragraph, of which b is the other half, or a document, of which b is the next text.
        share: of samples whose b is of the same, between 0 and 1.
        hard: share of the others whose b is from another paragraph of the same document, where level is paragraph and
            the document has one, in [0, 1].
    """

    roles = ("global",)
    params = ("same",)

    def __init__(
        self,
        spec: TextSpec,
        *,
        level: Literal["paragraph", "document"] = "paragraph",
        share: float = 0.5,
        hard: float = 0.5,
    ) -> None:
        between(0, 1, hard=hard)
        if not 0 < share < 1:
            raise ValueError(f"share is {share}; it must lie between 0 and 1, both excluded")
        if not spec.suffix:
            raise ValueError("pairs need a token that ends a text ([SEP], </s>), and this tokenizer has none")
        self.spec, self.level, self.share = spec, level, share
        self.hard = hard if level == "paragraph" else 0.0
        self.asks = ("near", "far") if level == "document" else ("far", "hard") if hard else ("far",)

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        assert batch.far is not None, "the data brings far texts"
        same = draw.bernoulli(1, Purpose.SPLIT, self.share)[:, 0]
        other = pick(batch.far, draw, Purpose.MIX)
        if self.level == "paragraph":
            first, second = self._half(batch, 0), self._half(batch, 1)
            third = self._half(other, 1)
        else:
            assert batch.near is not None, "the data brings near texts"
            near = pick(batch.near, draw, Purpose.WALK)
            first, second, third = self._half(batch, 0), self._half(near, 0), self._half(other, 0)
        none = torch.zeros_like(second[1])
        beside = torch.zeros_like(same)
        fourth = third
        if self.hard:
            assert batch.hard is not None, "the data brings hard texts"
            beside = draw.bernoulli(1, Purpose.NOISE, self.hard)[:, 0] & ~same
            fourth = self._half(pick(batch.hard, draw, Purpose.WALK), 1)
        chosen = ((second, same), (third, ~same & ~beside), (fourth, beside))
        either = [(x[of.repeat_interleave(n)], torch.where(of, n, none)) for (x, n), of in chosen]
        tail = batch.tokens.new_tensor(self.spec.suffix[-1:]).repeat(len(batch)), torch.ones_like(none)
        body, lengths = weave([first, tail, *either])
        tokens, lengths = framed(body, torch.tensor(lengths, device=body.device), self.spec)
        return [View(TextBatch(batch.ids, tokens, lengths), "global", params={"same": same})]

    def _half(self, batch: TextBatch, number: int) -> tuple[Tensor, Tensor]:
        """Body tokens of the first or second half, at most what a sample of two has room for; packed, and lengths."""
        sample, place = places(batch)
        frame = len(self.spec.prefix)
        body = batch.counts - frame - len(self.spec.suffix)
        room = max(1, (self.spec.length - frame - len(self.spec.suffix) - 1) // 2)
        middle = (body + 1) // 2
        begin = torch.zeros_like(body) if number == 0 else middle.minimum(body - 1).clamp(min=0)
        end = middle if number == 0 else body
        end = end.minimum(begin + room)
        inside = place - frame
        chosen = (inside >= begin[sample]) & (inside < end[sample])
        return batch.tokens[chosen], end - begin
