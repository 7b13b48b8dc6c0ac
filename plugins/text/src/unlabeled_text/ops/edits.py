"""Edits of packed texts: rows left out, rows put in, samples put together; all samples at once.

# B samples, T packed tokens, S packed tokens of the result
"""

from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.draw import Draw
from unlabeled.masks.rows import gather_rows
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.ops.ragged import kept_lengths, owner, ranges, within


def places(batch: TextBatch) -> tuple[Tensor, Tensor]:
    """``int64[T]``: the sample of each token, and its place in it."""
    total = len(batch.tokens)
    return owner(batch.counts, total), within(batch.counts, total)


def bernoulli(draw: Draw, purpose: int, sample_T: Tensor, place_T: Tensor, p: float) -> Tensor:
    """``bool[T]``, True with probability ``p``, addressed by (sample, place)."""
    return (draw.rows(purpose, sample_T, place_T) & 0xFFFFFFFF) < int(p * (1 << 32))


def keep(batch: TextBatch, keep_T: Tensor, tokens_T: Tensor | None = None) -> TextBatch:
    """The rows where ``keep_T`` is True; ``tokens_T`` stand in for the batch's own."""
    lengths = kept_lengths(keep_T, batch.counts)
    index = gather_rows(keep_T, lengths).index
    tokens = batch.tokens if tokens_T is None else tokens_T
    return replace(
        batch,
        tokens=tokens.index_select(0, index),
        lengths=lengths,
        starts=None if batch.starts is None else batch.starts.index_select(0, index),
        near=None,
        far=None,
        hard=None,
    )


def at_least_one(keep_T: Tensor, body_T: Tensor, place_T: Tensor, sample_T: Tensor, count: int) -> Tensor:
    """``keep_T`` with the first body row of each sample kept where no body row would be (True = stays)."""
    some = torch.zeros(count, dtype=torch.bool, device=keep_T.device)
    some[sample_T[keep_T & body_T]] = True
    far = int(place_T.max()) + 1 if len(place_T) else 1
    first = torch.full((count,), far, device=place_T.device)
    first = first.scatter_reduce(0, sample_T, torch.where(body_T, place_T, far), "amin")
    return keep_T | body_T & ~some[sample_T] & (place_T == first[sample_T])


def body_of(batch: TextBatch, spec: TextSpec) -> Tensor:
    """``bool[T]``, True = between prefix and suffix."""
    flags = torch.ones(len(batch.tokens), dtype=torch.bool, device=batch.tokens.device)
    end = batch.counts.cumsum(0)
    for number in range(len(spec.prefix)):
        flags[end - batch.counts + number] = False
    for number in range(len(spec.suffix)):
        flags[end - 1 - number] = False
    return flags


def weave(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, tuple[int, ...]]:
    """Samples made of parts, one after the other: each part is packed tokens and ``int64[B]`` lengths."""
    counts = torch.stack([lengths for _, lengths in parts], dim=1)  # [B, parts]
    total = counts.sum(1)
    flat = counts.flatten()
    start = (flat.cumsum(0) - flat).reshape(counts.shape)
    size = sum(len(tokens) for tokens, _ in parts)
    out = parts[0][0].new_empty(size)
    for number, (tokens, lengths) in enumerate(parts):  # brackets would cost five times as much
        out.index_copy_(0, ranges(start[:, number], lengths, len(tokens)), tokens)
    return out, tuple(total.tolist())


def framed(tokens_T: Tensor, lengths_B: Tensor, spec: TextSpec) -> tuple[Tensor, tuple[int, ...]]:
    """Bodies between the spec's prefix and suffix."""
    count = len(lengths_B)

    def fixed(ids: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        return tokens_T.new_tensor(ids).repeat(count), lengths_B.new_full((count,), len(ids))

    return weave([fixed(spec.prefix), (tokens_T, lengths_B), fixed(spec.suffix)])
