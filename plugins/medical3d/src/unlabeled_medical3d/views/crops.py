"""Boxes of volumes, cut out, turned and resized, with affines that follow.

Boxes are whole voxels of the source and may reach beyond it: what lies outside has the volume's lowest value, air. A
box whose size is the view's is copied; another is resized, trilinear.

    # B samples, C channels; boxes[B, 6] are the start (x, y, z) and the extent (x, y, z), int64, on the host
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled.transfer import on, on_host, send


def volume_sizes(images: Tensor | list[Tensor]) -> Tensor:
    """``int64[B, 3]``: voxels of each volume along x, y and z, on the host."""
    if isinstance(images, Tensor):
        return torch.tensor(images.shape[2:]).expand(len(images), 3)
    return torch.tensor([x.shape[1:] for x in images]).reshape(-1, 3)


def around(center: Tensor, extent: Tensor, sizes: Tensor) -> Tensor:
    """Boxes of ``extent[B, 3]`` around voxel ``center[B, 3]``, moved inside where they fit, else centered."""
    start = center - extent // 2
    room = sizes - extent
    inside = torch.minimum(start, room).clamp(min=0)
    return torch.cat((torch.where(room >= 0, inside, -((extent - sizes) // 2)), extent), 1)


def random_boxes(draw: Draw, sizes: Tensor, extent: Tensor, points: Tensor | None, foreground: float) -> Tensor:
    """Boxes of ``extent[B, 3]`` at a uniform place, or, with probability ``foreground``, around a foreground voxel.

    ``points[B, K, 3]`` are foreground voxels. A box around one is also shifted by up to a quarter of its extent.
    """
    room = (sizes - extent).clamp(min=0)
    free = draw.integers(3, Purpose.CROP_PLACE, room + 1)
    boxes = torch.cat((torch.where(sizes >= extent, free, -((extent - sizes) // 2)), extent), 1)
    if points is None or foreground == 0:
        return boxes
    picked = draw.integers(1, Purpose.CROP, points.shape[1])
    center = points.gather(1, picked[..., None].expand(-1, 1, 3))[:, 0]
    quarter = extent // 4
    center = center + draw.integers(3, Purpose.CROP_ASPECT, 2 * quarter + 1) - quarter
    return torch.where(draw.bernoulli(1, Purpose.ORDER, foreground), around(center, extent, sizes), boxes)


def cut(images: Tensor | list[Tensor], boxes: Tensor, size: Sequence[int]) -> Tensor:
    """``float32[B, C, X, Y, Z]``: each box, resized to ``size`` where it has another."""
    size = tuple(size)
    first = images[0]
    out = first.new_empty(len(images), first.shape[0], *size, dtype=torch.float32)
    for image, box, target in zip(images, boxes.tolist(), out):
        extent = tuple(box[3:])
        whole = target if extent == size else image.new_empty(first.shape[0], *extent, dtype=torch.float32)
        _copy(image, box, whole)
        if extent != size:
            target.copy_(F.interpolate(whole[None], size, mode="trilinear")[0])
    return out


def _copy(image: Tensor, box: list[int], out: Tensor) -> None:
    """The box of ``image[C, X, Y, Z]`` into ``out``; beyond the image, each channel's lowest value."""
    low = [max(0, s) for s in box[:3]]
    high = [min(n, s + e) for n, s, e in zip(image.shape[1:], box[:3], box[3:])]
    if [h - b for h, b in zip(high, low)] != box[3:]:
        out.copy_(image.flatten(1).amin(1)[:, None, None, None].expand_as(out))
    if all(h > b for h, b in zip(high, low)):
        place = [slice(b - s, h - s) for b, h, s in zip(low, high, box[:3])]
        out[(slice(None), *place)] = image[(slice(None), *(slice(b, h) for b, h in zip(low, high)))]


def box_affine(affine: Tensor, boxes: Tensor, size: Sequence[int]) -> Tensor:
    """``float64[B, 4, 4]``: voxels of the cut and resized box to mm, of volumes with ``affine[B, 4, 4]``."""
    boxes = boxes.to(affine.device)
    step = boxes[:, 3:] / torch.tensor(size, dtype=torch.float64, device=affine.device)
    to_source = torch.eye(4, dtype=torch.float64, device=affine.device).repeat(len(boxes), 1, 1)
    to_source[:, :3, :3] = torch.diag_embed(step)
    to_source[:, :3, 3] = boxes[:, :3] + 0.5 * step - 0.5
    return affine @ to_source


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """``float32[...]``: voxels that boxes ``[..., 6]`` share; the shapes broadcast."""
    low = torch.maximum(first[..., :3], second[..., :3])
    high = torch.minimum(first[..., :3] + first[..., 3:], second[..., :3] + second[..., 3:])
    return (high - low).clamp(min=0).prod(-1).float()


def overlapping(draw: Draw, first: Tensor, sizes: Tensor, share: float) -> Tensor:
    """Boxes as large as ``first[B, 6]`` that share at least ``share`` of it, inside the volume where it is."""
    extent = first[:, 3:]
    # the offset along each axis keeps the cube root of the share; their product keeps the share
    reach = ((1 - share ** (1 / 3)) * extent).floor().long()
    low = torch.maximum(first[:, :3] - reach, torch.minimum(first[:, :3], torch.zeros_like(extent)))
    high = torch.minimum(first[:, :3] + reach, torch.maximum(first[:, :3], sizes - extent))
    return torch.cat((draw.integers(3, Purpose.CROP_PLACE, high - low + 1) + low, extent), 1)


def mirror_(images: Tensor, affine: Tensor, flip_B3: Tensor) -> Tensor:
    """Mirror each sample along the axes where ``flip[B, 3]``, images in place; the affine that belongs to them."""
    flip_B3 = on_host(flip_B3)
    for image, flips in zip(images, flip_B3.tolist()):
        axes = [1 + axis for axis, flip in enumerate(flips) if flip]
        if axes:
            image.copy_(image.flip(axes))  # all axes at once: one copy
    step = 1.0 - 2.0 * flip_B3.double()
    turn = torch.diag_embed(torch.cat((step, torch.ones(len(step), 1, dtype=torch.float64)), 1))
    turn[:, :3, 3] = flip_B3.double() * (torch.tensor(images.shape[2:], dtype=torch.float64) - 1)
    return affine @ turn.to(affine.device)


def turn_(images: Tensor, affine: Tensor, turns_B: Tensor, axis: int) -> Tensor:
    """Turn each sample by ``turns[B]`` * 90 degrees about ``axis`` (0 x, 1 y, 2 z), in place; the affine then."""
    a, b = [n for n in range(3) if n != axis]
    if images.shape[2 + a] != images.shape[2 + b]:
        raise ValueError(f"a quarter turn about axis {axis} needs equal sides there; found {tuple(images.shape[2:])}")
    turns_B = on_host(turns_B) % 4
    matrix = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    last = images.shape[2 + a] - 1
    for turns in range(1, 4):
        rows = send([torch.nonzero(turns_B == turns)[:, 0]], images.device)[0]
        if len(rows):
            images.index_copy_(0, rows, torch.rot90(images[rows], turns, (2 + a, 2 + b)))
        quarter = torch.eye(4, dtype=torch.float64)
        # rot90: the voxel (i, j) of the turned volume was (j, last - i)
        quarter[a, a] = quarter[b, b] = 0
        quarter[a, b], quarter[b, a], quarter[b, 3] = 1, -1, last
        matrix[turns] = matrix[turns - 1] @ quarter
    return affine @ matrix[turns_B].to(affine.device)


def tilt(images: Tensor, affine: Tensor, degrees_B3: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample turned about its middle by small angles about x, y and z, trilinear; and the affine then.

    Angles are those of the world: voxels of unequal sides are turned as the body would be. Edges are repeated.
    """
    size = torch.tensor(images.shape[2:], dtype=torch.float64)
    mm = affine[:, :3, :3].double().cpu().square().sum(1).sqrt()  # [B, 3] length of each voxel axis
    turn = torch.eye(3, dtype=torch.float64).repeat(len(images), 1, 1)
    for axis, angle in enumerate(torch.deg2rad(degrees_B3.double().cpu()).unbind(1)):
        a, b = [n for n in range(3) if n != axis]
        one = torch.eye(3, dtype=torch.float64).repeat(len(images), 1, 1)
        one[:, a, a] = one[:, b, b] = angle.cos()
        one[:, a, b], one[:, b, a] = -angle.sin(), angle.sin()
        turn = turn @ one
    voxels = turn * mm[:, None, :] / mm[:, :, None]  # to mm, turned, and back
    to_source = torch.eye(4, dtype=torch.float64).repeat(len(images), 1, 1)
    middle = (size - 1) / 2
    to_source[:, :3, :3] = voxels
    to_source[:, :3, 3] = middle - (voxels @ middle)
    # grid_sample counts from -1 to 1, z first
    half = middle.clamp(min=0.5)
    unit = (voxels * half / half[:, None]).flip(1, 2).to(images.dtype)
    unit = on(unit, images.device)
    theta = torch.cat((unit, torch.zeros_like(unit[..., :1])), 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=True)
    turned = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return turned, affine @ to_source.to(affine.device)
