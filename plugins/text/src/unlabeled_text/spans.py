"""Laws of noise spans, for all samples at once: T5's alternating spans, Poisson spans, and random compositions.

T5, https://arxiv.org/abs/1910.10683: of n tokens round(n d) are noise, in round(noise / mu) spans; both noise and the
rest are cut uniformly at random, and the two alternate, the rest first. So the first token is never noise and the last
always is: that is T5's law, kept as ``edge``; ``uniform`` turns the text by a random number of places, after which
every token is noise equally often.

    # B samples, T packed tokens, K parts of a sample, n tokens of a sample
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled_text.ragged import ranges, starts_of

_LAST = torch.iinfo(torch.int64).max
_HALF = 0xFFFFFFFF


def compositions(total_B: Tensor, parts_B: Tensor, draw: Draw, purpose: int) -> Tensor:
    """``int64[B, K]``: ``parts[b]`` positive numbers that add up to ``total[b]``, all such equally likely; then 0.

    A sample of 0 parts gets zeros alone. ``parts <= total``.
    """
    return cut(total_B, parts_B, draw.words(max(int(total_B.max()), 1) if len(total_B) else 1, purpose))


def cut(total_B: Tensor, parts_B: Tensor, words_BM: Tensor) -> Tensor:
    """:func:`compositions` by random words: M is the greatest total at least."""
    cuts = max(int(parts_B.max()), 1) - 1 if len(parts_B) else 0
    edge = total_B[:, None]
    if cuts:
        # a uniform subset: the places with the smallest words; sorted, they are the cuts
        words = (words_BM & _LAST).masked_fill(_count(words_BM) >= edge - 1, _LAST)
        found = words.topk(cuts, dim=1, largest=False, sorted=True).indices + 1
        unused = _count(found) >= parts_B[:, None] - 1
        edge = torch.cat((torch.where(unused, edge, found).sort(dim=1).values, edge), dim=1)
    out = torch.diff(edge, dim=1, prepend=torch.zeros_like(edge[:, :1]))
    return out * (parts_B[:, None] > 0)


def _count(like_BM: Tensor) -> Tensor:
    return torch.arange(like_BM.shape[1], device=like_BM.device)


def span_counts(n_B: Tensor, density_B: Tensor, mean_B: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Noise tokens and noise spans of each sample: ``int64[B]``, 0 where a text has fewer than two tokens."""
    noise = (n_B.double() * density_B).round().long().clamp(min=1).minimum((n_B - 1).clamp(min=0))
    spans = (noise.double() / mean_B).round().long().clamp(min=1, max=most)
    return noise, spans.minimum(noise).minimum(n_B - noise)


def spans_of(
    n_B: Tensor, density_B: Tensor, mean_B: Tensor, draw: Draw, *, uniform: bool, most: int
) -> tuple[Tensor, Tensor]:
    """Start and length ``int64[B, K]`` of the noise spans of texts of ``n_B`` tokens, ``most`` at most, in order.

    Where a text has fewer than K, the rest start at its end and have length 0.
    """
    noise, spans = span_counts(n_B, density_B, mean_B, max(1, most - uniform))
    # one draw for all: of each word the upper half cuts what is kept, the lower half what is noise; the first one turns
    words = draw.words(int(n_B.max()) + 1 if len(n_B) else 1, Purpose.MASK_PLACE)
    kept = cut(n_B - noise, spans, (words[:, 1:] >> 32) & _HALF)
    size = cut(noise, spans, words[:, 1 : int(noise.max()) + 1 if len(noise) else 1] & _HALF)
    start = (kept + size).cumsum(1) - size
    n = n_B[:, None]
    if uniform:
        room = n.clamp(min=1)
        turn = (words[:, :1] & _HALF) * room >> 32
        start = (start - turn) % room
        over = (start + size - n).clamp(min=0)  # of the one span that the turn cuts in two
        size = torch.cat((over.sum(1, keepdim=True), size - over), dim=1)
        start = torch.cat((torch.zeros_like(n), start), dim=1)
    start, order = torch.where(size > 0, start, n).sort(dim=1, stable=True)
    return start, size.gather(1, order)


def noise_spans(n_B: Tensor, density_B: Tensor, mean_B: Tensor, draw: Draw, *, uniform: bool, most: int) -> Tensor:
    """``bool[T]``, True = noise, over packed texts of ``n_B`` tokens: :func:`spans_of` as flags."""
    start, size = spans_of(n_B, density_B, mean_B, draw, uniform=uniform, most=most)
    first = start + starts_of(n_B)[:, None]
    flags = torch.zeros(int(n_B.sum()), dtype=torch.bool, device=n_B.device)
    flags[ranges(first.flatten(), size.flatten(), int(size.sum()))] = True
    return flags


def turned(x_T: Tensor, n_B: Tensor, draw: Draw) -> Tensor:
    """Each text of ``n_B`` tokens turned by a random number of places."""
    total, first = len(x_T), starts_of(n_B)
    turn = draw.integers(1, Purpose.SHIFT, n_B.clamp(min=1)[:, None])[:, 0]
    # two runs of each text: from the turn to its end, then from its beginning to the turn
    begin = torch.stack((first + turn, first), dim=1).flatten()
    return x_T.index_select(0, ranges(begin, torch.stack((n_B - turn, turn), dim=1).flatten(), total))


def poisson(bits: Tensor, mean: float) -> Tensor:
    """Poisson numbers from 32 random bits each."""
    steps = torch.arange(64, dtype=torch.float64)
    mass = torch.exp(steps * torch.log(torch.tensor(mean, dtype=torch.float64)) - mean - torch.lgamma(steps + 1))
    edges = (mass.cumsum(0) * (1 << 32)).long().to(bits.device)
    return torch.searchsorted(edges, bits.contiguous(), right=True).clamp(max=63)


def poisson_spans(n_B: Tensor, density: float, mean: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """Lengths of spans ``[B, K]`` in Poisson law until round(n d) tokens are covered, and how many each sample has.

    The last is cut to fit; spans of no token stand among them.
    """
    noise = (n_B.double() * density).round().long()
    # as many tries as surely suffice: of its own length, so that a sample has the same in any batch
    tries = 4 + 2 * noise
    most = int(tries.max()) if len(tries) else 1
    sizes = poisson(draw.bits(most, Purpose.MASK_SIZE), mean)
    sizes = torch.where(torch.arange(most, device=n_B.device) < tries[:, None], sizes, 0)
    before = sizes.cumsum(1) - sizes
    used = before < noise[:, None]
    sizes = torch.where(used, sizes.minimum(noise[:, None] - before), 0)
    return sizes, used.sum(1)


def gaps(kept_B: Tensor, spans_B: Tensor, draw: Draw) -> Tensor:
    """``int64[B, K + 1]``: tokens before, between and after spans, uniformly at random, none or more each."""
    parts = spans_B + 1
    return (compositions(kept_B + parts, parts, draw, Purpose.MASK_PLACE) - 1).clamp(min=0)
