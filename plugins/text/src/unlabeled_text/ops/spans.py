"""Laws of noise spans, for all samples at once: T5's alternating spans, Poisson spans, and random compositions.

T5, https://arxiv.org/abs/1910.10683: of n tokens round(n d) are noise, in round(noise / mu) spans; both noise and the
rest are cut uniformly at random, and the two alternate, the rest first. So the first token is never noise and the last
always is: that is T5's law, kept as ``edge``; ``uniform`` turns the text by a random number of places, after which
every token is noise equally often.

Spans are laid out on the host, in NumPy: lengths are known there, so nothing waits for an accelerator, and arrays of a
few hundred numbers take a third of the time that they take in torch.

    # B samples, T packed tokens, F packed parts of all samples, K parts of a sample, n tokens of a sample
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled_text.ops.ragged import ranges, starts_of

_MOST = np.uint32(0xFFFFFFFF)
Array = np.ndarray


def random_keys(draw: Draw, n: int, purpose: int) -> Array:
    """``uint32[B, n]``: numbers of 32 random bits, addressed by place alone."""
    draw = draw if draw.ids.device.type == "cpu" else draw.to("cpu")  # a copy would mix the sample's key anew
    words = draw.words((n + 1) // 2, purpose).numpy()
    return words.astype("<i8", copy=False).view("<u4")[:, :n]


def smallest(keys_BM: Array, count_B: Array) -> Array:
    """``bool[B, M]``, True at the ``count[b]`` smallest keys of each row; of equal ones, the first."""
    most = int(count_B.max(initial=0))
    if not most:
        return np.zeros(keys_BM.shape, bool)
    if count_B.min() == most:
        bound = np.partition(keys_BM, most - 1, axis=1)[:, most - 1]
    else:
        bound = np.sort(keys_BM, axis=1)[np.arange(len(keys_BM)), np.maximum(count_B, 1) - 1]
    flags: Array = (keys_BM <= bound[:, None]) & (count_B > 0)[:, None]
    if np.count_nonzero(flags) != count_B.sum():  # equal keys at the bound, once in a million rows
        rank = np.argsort(np.argsort(keys_BM, axis=1, kind="stable"), axis=1, kind="stable")
        flags = rank < count_B[:, None]
    return flags


def part_ends(total_B: Array, parts_B: Array, keys_BM: Array) -> Array:
    """``int64[F]``: where parts end, the last of a sample at its total; all compositions are equally likely.

    ``parts[b]`` positive numbers add up to ``total[b]``; a sample of 0 parts has none. M is the greatest total or more.
    """
    most = keys_BM.shape[1]
    cuts, beyond = keys_BM.copy(), np.arange(most, dtype=np.int32) >= (total_B - 1).astype(np.int32)[:, None]
    cuts[beyond] = _MOST  # place p cuts after p + 1
    flags = smallest(cuts, np.maximum(parts_B - 1, 0))
    some = np.flatnonzero(parts_B)
    flags[some, total_B[some] - 1] = True
    return np.flatnonzero(flags) % most + 1


def sizes_of(end_F: Array, parts_B: Array) -> Array:
    """``int64[F]``: sizes of parts from their ends."""
    before = np.empty_like(end_F)
    before[1:] = end_F[:-1]
    before[(np.cumsum(parts_B) - parts_B)[parts_B > 0]] = 0
    return end_F - before


def compositions(total_B: Array, parts_B: Array, draw: Draw, purpose: int) -> Array:
    """``int64[F]``: ``parts[b]`` positive numbers that add up to ``total[b]``, sample after sample."""
    keys = random_keys(draw, int(total_B.max(initial=1)), purpose)
    return sizes_of(part_ends(total_B, parts_B, keys), parts_B)


# ---------------------------------------------------------------------------------------------- T5


@dataclass(frozen=True)
class Spans:
    """Noise spans of all samples, in order: sample, first body token and length of each; ``counts[b]`` of a sample."""

    sample: Array
    start: Array
    size: Array
    counts: Array


def span_counts(n_B: Array, density_B: Array, mean_B: Array, most: int) -> tuple[Array, Array]:
    """Noise tokens and noise spans of each sample: ``int64[B]``, 0 where a text has fewer than two tokens."""
    room = np.maximum(n_B - 1, 0)
    noise = np.minimum(np.maximum(np.rint(n_B * density_B).astype(np.int64), 1), room)
    spans = np.clip(np.rint(noise / mean_B).astype(np.int64), 1, most)
    return noise, np.minimum(np.minimum(spans, noise), n_B - noise)


def spans_of(n_B: Array, density_B: Array, mean_B: Array, draw: Draw, *, uniform: bool, most: int) -> Spans:
    """The noise spans of texts of ``n_B`` tokens, ``most`` at most in each, those of a density of 0 left out."""
    noise, count = span_counts(n_B, density_B, mean_B, max(1, most - uniform))
    noise, count = noise * (density_B > 0), count * (density_B > 0)
    keys = random_keys(draw, int((n_B - noise).max(initial=0)) + 1, Purpose.MASK_PLACE)
    kept_end = part_ends(n_B - noise, count, keys[:, 1:])
    end = part_ends(noise, count, random_keys(draw, max(int(noise.max(initial=0)), 1), Purpose.MASK_SIZE))
    size = sizes_of(end, count)
    sample = np.repeat(np.arange(len(n_B)), count)
    start = kept_end + end - size
    if uniform:
        turn = keys[:, 0].astype(np.int64) * n_B >> 32
        start = (start - turn[sample]) % n_B[sample]
        over = start + size - n_B[sample]
        cut = np.flatnonzero(over > 0)  # the one span of a text that the turn cuts in two
        size[cut] -= over[cut]
        sample, start, size = (np.concatenate(pair) for pair in (
            (sample, sample[cut]), (start, np.zeros_like(cut)), (size, over[cut])))  # fmt: skip
        order = np.argsort((sample << 32) + start, kind="stable")
        sample, start, size = sample[order], start[order], size[order]
    return Spans(sample, start, size, np.bincount(sample, minlength=len(n_B)))


def with_ends(spans: Spans, sample_E: Array, start_E: Array, size_E: Array) -> Spans:
    """The spans, and one more of each of some samples that have none."""
    sample, start, size = (np.concatenate(pair) for pair in (
        (spans.sample, sample_E), (spans.start, start_E), (spans.size, size_E)))  # fmt: skip
    order = np.argsort(sample, kind="stable")
    return Spans(sample[order], start[order], size[order], np.bincount(sample, minlength=len(spans.counts)))


def noise_spans(n_B: Array, density_B: Array, mean_B: Array, draw: Draw, *, uniform: bool, most: int) -> Array:
    """``bool[T]``, True = noise, over packed texts of ``n_B`` tokens: :func:`spans_of` as flags."""
    found = spans_of(n_B, density_B, mean_B, draw, uniform=uniform, most=most)
    flags = np.zeros(int(n_B.sum()), bool)
    flags[runs((np.cumsum(n_B) - n_B)[found.sample] + found.start, found.size)] = True
    return flags


def runs(start_F: Array, size_F: Array) -> Array:
    """start, start + 1, ... of each, one after the other."""
    end = np.cumsum(size_F)
    return np.arange(int(end[-1]) if len(end) else 0) + np.repeat(start_F - end + size_F, size_F)


# ---------------------------------------------------------------------------------------------- BART


def turned(x_T: Tensor, n_B: Tensor, draw: Draw) -> Tensor:
    """Each text of ``n_B`` tokens turned by a random number of places."""
    total, first = len(x_T), starts_of(n_B)
    turn = draw.integers(1, Purpose.SHIFT, n_B.clamp(min=1)[:, None])[:, 0]
    # two runs of each text: from the turn to its end, then from its beginning to the turn
    begin = torch.stack((first + turn, first), dim=1).flatten()
    return x_T.index_select(0, ranges(begin, torch.stack((n_B - turn, turn), dim=1).flatten(), total))


def poisson(bits: Array, mean: float) -> Array:
    """Poisson numbers from 32 random bits each."""
    steps = torch.arange(64, dtype=torch.float64)
    mass = torch.exp(steps * torch.log(torch.tensor(mean, dtype=torch.float64)) - mean - torch.lgamma(steps + 1))
    edges = (mass.cumsum(0) * (1 << 32)).long().numpy()
    return np.minimum(np.searchsorted(edges, bits.astype(np.int64), side="right"), 63)


def poisson_spans(n_B: Array, density: float, mean: float, draw: Draw) -> tuple[Array, Array]:
    """Lengths of spans ``[B, K]`` in Poisson law until round(n d) tokens are covered, and how many each sample has.

    The last is cut to fit; spans of no token stand among them.
    """
    noise = np.rint(n_B * density).astype(np.int64)
    # as many tries as surely suffice: of its own length, so that a sample has the same in any batch
    tries = 4 + np.ceil(2 * noise / min(mean, 1.0)).astype(np.int64)
    most = int(tries.max(initial=1))
    sizes = poisson(random_keys(draw, most, Purpose.MASK_SIZE), mean)
    sizes = np.where(np.arange(most) < tries[:, None], sizes, 0)
    before = sizes.cumsum(1) - sizes
    used = before < noise[:, None]
    return np.where(used, np.minimum(sizes, noise[:, None] - before), 0), used.sum(1)


def gaps(kept_B: Array, spans_B: Array, draw: Draw) -> Array:
    """``int64[B, K + 1]``: tokens before, between and after spans, uniformly at random, none or more each."""
    parts = spans_B + 1
    out = np.zeros((len(parts), int(parts.max(initial=1))), np.int64)
    out[np.arange(out.shape[1]) < parts[:, None]] = compositions(kept_B + parts, parts, draw, Purpose.MASK_PLACE) - 1
    return out
