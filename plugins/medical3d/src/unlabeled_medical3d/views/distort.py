"""Distortions that a network learns to undo, batched: intensity curves, local shuffling, painting, cut-out.

Models Genesis, https://arxiv.org/abs/1908.06912: a monotone Bezier curve of intensities, voxels shuffled within small
windows, in-painting, out-painting. Swin UNETR, https://arxiv.org/abs/2111.14791: cut-out until a budget of voxels is
spent. Differs: curves are tables of 512 entries in place of 100,000
points looked up voxel by voxel; windows to shuffle are one gather for a whole batch, of which a later one stays whole
where two meet; what is painted over gets uniform noise within the volume's range.

    # B samples, C channels, N windows, S side of the largest window, V = S^3, X, Y, Z voxels
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unlabeled.draw import Draw
from unlabeled.transfer import on, send
from unlabeled_medical3d.ops.purposes import Use
from unlabeled_medical3d.views.augment import extent, per_sample

TABLE = 512
POINTS = 1000  # of a curve, before it becomes a table


def bezier_table(controls_B4: Tensor, falling_B: Tensor) -> Tensor:
    """``[B, TABLE]``: curves from (0, 0) to (1, 1) with two control points (x1, y1, x2, y2), sorted to be monotone."""
    t = torch.linspace(0, 1, POINTS)
    weights = torch.stack((3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t)))
    x = (controls_B4[:, 0::2] @ weights + t**3).sort(1).values
    y = (controls_B4[:, 1::2] @ weights + t**3).sort(1).values
    wanted = torch.linspace(0, 1, TABLE).expand(len(x), -1).contiguous()
    right = torch.searchsorted(x.contiguous(), wanted).clamp(1, POINTS - 1)
    x0, x1 = x.gather(1, right - 1), x.gather(1, right)
    y0, y1 = y.gather(1, right - 1), y.gather(1, right)
    table = y0 + (y1 - y0) * ((wanted - x0) / (x1 - x0).clamp(min=1e-9)).clamp(0, 1)
    return torch.where(falling_B[:, None], table.flip(1), table)


def curve(x: Tensor, draw: Draw, chance: float) -> tuple[Tensor, Tensor]:
    """Intensities through a random monotone curve, falling in half the cases, and which samples were: ``bool[B]``."""
    host = draw.to("cpu")
    drawn = host.uniform(6, Use.CURVE)
    apply = drawn[:, 5] < chance
    identity = torch.linspace(0, 1, TABLE).expand(len(x), -1)
    table = torch.where(apply[:, None], bezier_table(drawn[:, :4], drawn[:, 4] < 0.5), identity)
    table = on(table.to(x.dtype), x.device)
    low, wide = extent(x)
    at = ((x - low) / wide * (TABLE - 1)).clamp_(0, TABLE - 1)
    left = at.floor()
    index = left.long().flatten(1)
    value = table.gather(1, index)
    value += (table.gather(1, (index + 1).clamp_(max=TABLE - 1)) - value) * (at - left).flatten(1)
    out = value.view(x.shape) * wide + low
    return torch.where(per_sample(apply, x) > 0, out, x), apply


def windows(
    draw: Draw, purpose: int, count: int, least: Sequence[int], most: Sequence[int], size: Sequence[int]
) -> Tensor:
    """Boxes ``int64[B, N, 6]`` inside ``size``: start and extent, each side uniform in [least, most]."""
    drawn = draw.uniform(6 * count, purpose).unflatten(1, (count, 6)).double()
    low, high, whole = (torch.tensor(v, dtype=torch.float64) for v in (least, most, size))
    side = (low + drawn[..., 3:] * (high - low + 1)).floor().minimum(high)
    return torch.cat(((drawn[..., :3] * (whole - side + 1)).floor(), side), -1).long()


def covered(boxes_BN6: Tensor, size: Sequence[int]) -> Tensor:
    """``bool[B, 1, X, Y, Z]`` on the host, True inside any of a sample's boxes."""
    out = torch.zeros(len(boxes_BN6), 1, *size, dtype=torch.bool)
    for boxes, target in zip(boxes_BN6.tolist(), out):
        for x, y, z, a, b, c in boxes:
            target[0, x : x + a, y : y + b, z : z + c] = True
    return out


def shuffle(x: Tensor, draw: Draw, chance: float, density: float) -> tuple[Tensor, Tensor]:
    """Voxels shuffled within small windows, of up to a tenth of each side, and which samples were: ``bool[B]``.

    ``density`` is the number of windows times their mean volume, as a share of the volume.
    """
    size = x.shape[2:]
    side = [max(2, n // 10) for n in size]
    voxels = side[0] * side[1] * side[2]
    mean = 1.0
    for s in side:
        mean *= (1 + s) / 2
    count = max(1, round(density * x[0, 0].numel() / mean))
    host = draw.to("cpu")
    apply = host.uniform(1, Use.SHUFFLE_APPLY)[:, 0] < chance
    chosen = torch.nonzero(apply)[:, 0]
    if not len(chosen):
        return x, apply
    part = Draw(host.seed, host.epoch, host.ids[chosen], host.view)
    boxes = windows(part, Use.SHUFFLE_PLACE, count, (1, 1, 1), side, size)
    index, valid = _voxels(boxes, side, size)
    key = part.words(count * voxels, Use.SHUFFLE_ORDER).view(len(chosen), count, voxels)
    # valid voxels first, in order and in random order: the k-th of one goes to the k-th of the other
    there = torch.argsort((~valid).to(torch.uint8), dim=2, stable=True)
    here = torch.argsort(torch.where(valid, key >> 1, torch.iinfo(torch.int64).max), dim=2)
    target, source = index.gather(2, there).flatten(1), index.gather(2, here).flatten(1)
    live = valid.gather(2, there).flatten(1)
    order = torch.arange(count).repeat_interleave(voxels).expand_as(target)
    last = torch.full((len(chosen), x[0, 0].numel()), -1)
    last.scatter_reduce_(1, target, torch.where(live, order, -1), "amax")
    wins = live & (last.gather(1, target) == order)
    moved = torch.arange(last.shape[1]).repeat(len(chosen), 1)
    row, column = torch.nonzero(wins, as_tuple=True)
    moved[row, target[row, column]] = source[row, column]
    out = x.clone()
    rows, moved = send([chosen, moved], x.device)
    flat = x[rows].flatten(2)
    gathered = flat.gather(2, moved[:, None].expand_as(flat))
    return out.index_copy_(0, rows, gathered.view(len(rows), *x.shape[1:])), apply


def _voxels(boxes_BN6: Tensor, side: Sequence[int], size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Flat voxel numbers ``int64[B, N, V]`` of each window, and which of the V places it has."""
    offset_V3 = torch.cartesian_prod(*(torch.arange(s) for s in side))
    valid = (offset_V3 < boxes_BN6[:, :, None, 3:]).all(-1)
    at = torch.minimum(boxes_BN6[:, :, None, :3] + offset_V3, torch.tensor(size) - 1)
    return (at[..., 0] * size[1] + at[..., 1]) * size[2] + at[..., 2], valid


def uniform_noise(x: Tensor, draw: Draw) -> Tensor:
    """Uniform numbers like ``x``, within the range of each sample and channel, from each sample's own generator."""
    seeds = draw.to("cpu").words(1, Use.PAINT)[:, 0]
    noise = torch.empty(x.shape, dtype=x.dtype)
    for seed, target in zip(seeds.tolist(), noise):
        target.uniform_(generator=torch.Generator().manual_seed(seed & ((1 << 63) - 1)))
    low, wide = extent(x)
    return on(noise, x.device).mul_(wide).add_(low)


def paint(x: Tensor, draw: Draw, chance: float, inner: float, count: int = 5) -> tuple[Tensor, Tensor]:
    """In-painting or out-painting with noise, and what was done: ``int64[B]``, 0 none, 1 in, 2 out.

    Inner: up to ``count`` cuboids of a sixth to a third of each side are noise. Outer: all is, but cuboids of 3/7 to
    4/7 of each side.
    """
    size, host = x.shape[2:], draw.to("cpu")
    drawn = host.uniform(3, Use.PAINT_APPLY)
    kind = torch.where(drawn[:, 0] < chance, torch.where(drawn[:, 1] < inner, 1, 2), 0)
    small = windows(host, Use.PAINT_SMALL, count, [max(1, n // 6) for n in size], [max(1, n // 3) for n in size], size)
    large = windows(host, Use.PAINT_LARGE, count, [3 * n // 7 for n in size], [max(1, 4 * n // 7) for n in size], size)
    boxes = torch.where((kind == 1)[:, None, None], small, large)
    used = torch.arange(count) < 1 + (drawn[:, 2:] * count).long()  # one box at least
    there = covered(torch.where(used[..., None], boxes, boxes[:, :1]), size)
    there = on(there, x.device)
    done = per_sample(kind, x)
    replaced = ((done == 1) & there) | ((done == 2) & ~there)
    return torch.where(replaced, uniform_noise(x, draw), x), kind


def cutout(x: Tensor, draw: Draw, most: float, count: int = 160) -> tuple[Tensor, Tensor]:
    """Cuboids of noise until a budget of voxels, uniform in [0, most], is spent; and the share that was: ``[B]``.

    Sides are a twentieth to a quarter of the volume's. The cuboid that would overspend is left out, and those after it.
    """
    size, host = x.shape[2:], draw.to("cpu")
    boxes = windows(host, Use.CUT, count, [max(1, n // 20) for n in size], [max(1, n // 4) for n in size], size)
    budget = host.uniform(1, Use.CUT_BUDGET) * most * x[0, 0].numel()
    spent = boxes[..., 3:].prod(-1).cumsum(1)
    boxes = boxes * (spent <= budget)[..., None]  # an extent of 0 covers nothing
    there = covered(boxes, size)
    return torch.where(on(there, x.device), uniform_noise(x, draw), x), there.flatten(1).float().mean(1)
