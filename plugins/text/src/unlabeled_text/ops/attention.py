"""Attention within samples of a packed batch: block-diagonal, without a mask of [T, T] and almost without padding.

Samples of like lengths share a bucket, which is padded to its longest; everything but attention itself runs on packed
rows. Rotary positions: RoFormer, https://arxiv.org/abs/2104.09864, half against half as in transformers.

    # G samples, T packed rows, S slots of all buckets, n samples of a bucket, L its longest, H heads, d = D / H
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.transfer import numbers

ALIKE = 0.75  # the shortest of a bucket has at least this share of the longest's rows ...
SMALL = 512  # ... unless the bucket has fewer slots than this: calls cost more than padding


@dataclass(frozen=True)
class Buckets:
    """Where the rows of a batch stand in buckets.

    Args:
        shapes: ``(n, L)`` of each bucket.
        take: ``int64[S]`` the row of each slot, row 0 at padding; None where the one bucket is the batch itself.
        back: ``int64[T]`` the slot of each row.
        keys: ``bool[n, 1, 1, L]`` for each bucket, True = a row, not padding; None where all are rows.
    """

    shapes: tuple[tuple[int, int], ...]
    take: Tensor | None
    back: Tensor | None
    keys: tuple[Tensor | None, ...]


def shapes_of(lengths: tuple[int, ...]) -> tuple[list[int], list[tuple[int, int]]]:
    """The order of samples, longest first, and ``(n, L)`` of the buckets that they are cut into."""
    order = sorted(range(len(lengths)), key=lambda g: -lengths[g])
    shapes: list[tuple[int, int]] = []
    for g in order:
        if shapes:
            count, longest = shapes[-1]
            if lengths[g] >= ALIKE * longest or count * longest < SMALL:
                shapes[-1] = (count + 1, longest)
                continue
        shapes.append((1, lengths[g]))
    return order, shapes


def bucketed(layout: Layout) -> Buckets:
    """The buckets of a batch; computed once for all layers."""
    lengths = layout.lengths
    if layout.equal:
        return Buckets(((len(lengths), lengths[0] if lengths else 0),), None, None, (None,))
    order, shapes = shapes_of(lengths)
    device = layout.position.device
    offsets, slots = layout.offsets, [0] * len(lengths)
    begin, done = 0, 0
    for count, longest in shapes:
        for place in range(count):
            slots[order[done + place]] = begin + place * longest
        begin, done = begin + count * longest, done + count
    first = numbers([slot - offset for slot, offset in zip(slots, offsets[:-1], strict=True)], device)
    back = torch.arange(layout.total, device=device) + first[layout.group]
    real = torch.zeros(begin, dtype=torch.bool, device=device).index_fill_(0, back, True)
    take = torch.zeros(begin, dtype=torch.int64, device=device)
    take = take.index_copy_(0, back, torch.arange(layout.total, device=device))
    cuts = list(accumulate((n * longest for n, longest in shapes), initial=0))
    keys = []
    for (n, longest), cut in zip(shapes, cuts, strict=False):
        keys.append(real[cut : cut + n * longest].reshape(n, 1, 1, longest))
    return Buckets(tuple(shapes), take, back, tuple(keys))


def spread(x: Tensor, buckets: Buckets) -> list[Tensor]:
    """``x[T, ...]`` as ``[n, L, ...]`` for each bucket."""
    if buckets.take is None:
        ((n, longest),) = buckets.shapes
        return [x.reshape(n, longest, *x.shape[1:])]
    parts = x[buckets.take].split([n * longest for n, longest in buckets.shapes])
    return [part.reshape(shape + x.shape[1:]) for part, shape in zip(parts, buckets.shapes, strict=True)]


def gather(parts: list[Tensor], buckets: Buckets) -> Tensor:
    """``[n, L, ...]`` of each bucket as ``[T, ...]``: what stands at padding is left behind."""
    flat = torch.cat([part.flatten(0, 1) for part in parts])
    return flat if buckets.back is None else flat[buckets.back]


def allowed(buckets: Buckets, position_T: Tensor, *, causal: bool, window: int) -> list[Tensor | None]:
    """Who sees whom, ``bool[n, 1, L, L]`` or ``[n, 1, 1, L]`` for each bucket, True = seen; None = all that is causal.

    Args:
        causal: a row sees itself and rows before it.
        window: a row sees rows at most this far away; 0 = any.
    """
    out: list[Tensor | None] = []
    for place, keys, (_, longest) in zip(spread(position_T, buckets), buckets.keys, buckets.shapes, strict=True):
        if not window or longest <= window + 1:
            # padding comes after all rows of a sample, so what is causal never sees it
            out.append(None if causal else keys)
            continue
        apart = place[:, :, None] - place[:, None, :]
        seen = ((apart <= window) & (apart >= 0) if causal else apart.abs() <= window)[:, None]
        seen = seen if keys is None else seen & keys
        # padding sees itself: attention over nothing is not a number
        out.append(seen | torch.eye(longest, dtype=torch.bool, device=seen.device))
    return out


def attend(
    q_THd: Tensor,
    k_THd: Tensor,
    v_THd: Tensor,
    buckets: Buckets,
    seen: list[Tensor | None],
    *,
    causal: bool,
    dropout: float,
) -> Tensor:
    """Attention of each row over the rows of its sample that ``seen`` allows: ``[T, H * d]``."""
    parts = []
    for q, k, v, mask in zip(spread(q_THd, buckets), spread(k_THd, buckets), spread(v_THd, buckets), seen, strict=True):
        mixed = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, dropout_p=dropout,
            is_causal=causal and mask is None,
        )  # fmt: skip
        parts.append(mixed.transpose(1, 2).flatten(2))
    return gather(parts, buckets)


def rotary(position_T: Tensor, width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``[T, 1, d]`` of rotary positions; ``theta`` is the longest wave's base."""
    steps = torch.arange(0, width, 2, device=position_T.device, dtype=torch.float32) / width
    angle = position_T.float()[:, None] * (1.0 / theta**steps)
    angle = torch.cat((angle, angle), dim=-1)[:, None]
    return angle.cos(), angle.sin()


def rotate(x_THd: Tensor, wave: tuple[Tensor, Tensor]) -> Tensor:
    """``x`` turned by its position."""
    first, second = x_THd.chunk(2, dim=-1)
    return (x_THd.float() * wave[0] + torch.cat((-second, first), dim=-1).float() * wave[1]).to(x_THd.dtype)
