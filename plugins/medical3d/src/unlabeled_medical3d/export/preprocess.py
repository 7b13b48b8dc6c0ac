"""Volumes as the encoder read them, ``float32[C, X, Y, Z]``, by nibabel, numpy and torch alone.

``read(volume)`` takes a NIfTI file, or an array ``[X, Y, Z]`` or ``[C, X, Y, Z]`` with its affine. Steps: axes turned
to right, anterior, superior; NaN around a body as the lowest value; resampled to ``spacing`` mm, linearly, the first
voxel's center in place; scaled by ``modality`` (``auto`` looks: values below -200 are CT, two values a shape, the
rest MR); the crop of ``size`` voxels around the middle of the foreground, beyond the volume its lowest value, or with
``whole`` all of it, resized. CT: clipped to ``window``, then -1 to 1. MR: clipped to ``percentiles`` of the
foreground, mean 0 and deviation 1 there. Shape: its range to -1 to 1. Foreground lies above Otsu's threshold where
that parts air from a body. The numbers stand in ``preprocess.json`` beside this file.

    # C channels, X, Y, Z voxels, K points
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

AIR, DARK, FLAT, SAMPLE = -200.0, 0.2, 0.01, 1 << 16


@cache
def settings() -> dict[str, Any]:
    """The numbers of this encoder."""
    found: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return found


def read(volume: Any, affine: Any = None) -> Tensor:
    """``float32[C, X, Y, Z]`` of a NIfTI file, or of an array and its affine."""
    if isinstance(volume, (str, Path)):
        file: Any = nib.load(volume)
        image, affine = np.asarray(file.dataobj), np.asarray(file.affine, dtype=np.float64)
        image = np.moveaxis(image.reshape(*image.shape[:3], -1), -1, 0)
    else:
        image = np.asarray(volume)
        image = image if image.ndim == 4 else image[None]
    if len(image) != settings()["channels"]:
        raise ValueError(f"it has {len(image)} channels, the encoder reads {settings()['channels']}")
    if np.isnan(image).any():
        image = np.stack([np.nan_to_num(channel, nan=float(np.nanmin(channel))) for channel in image])
    original = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    kind = settings()["modality"] if settings()["modality"] != "auto" else modality_of(original)
    turned, size = to_ras(image, affine)
    return crop(scale(resample(turned, size), kind))


# ---------------------------------------------------------------------------------------------- space


def to_ras(image: Any, affine: Any) -> tuple[Tensor, Any]:
    """The volume with its axes nearest to right, anterior, superior, and the mm of its voxels."""
    turn = nib.orientations.io_orientation(affine)
    turned = np.moveaxis(nib.orientations.apply_orientation(np.moveaxis(image, 0, 3), turn), 3, 0)
    size = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(0))
    order = np.argsort(turn[:, 0])
    return torch.from_numpy(np.ascontiguousarray(turned, dtype=np.float32)), size[order]


def resample(image: Tensor, old: Sequence[float]) -> Tensor:
    """Voxels of ``old`` mm -> of ``spacing`` mm, linear along one axis after the other."""
    for axis, (before, after) in enumerate(zip(old, settings()["spacing"], strict=True), start=1):
        count = image.shape[axis]
        wanted = int(np.round((count - 1) * before / after)) + 1
        if wanted == count and abs(before - after) < 1e-6 * before:
            continue
        place = (torch.arange(wanted, dtype=torch.float64) * (after / before)).clamp(max=count - 1)
        low = place.floor().long()
        weight = (place - low).to(image.dtype).reshape([-1 if n == axis else 1 for n in range(4)])
        image = image.index_select(axis, low).lerp(image.index_select(axis, (low + 1).clamp(max=count - 1)), weight)
    return image


def crop(image: Tensor) -> Tensor:
    """The voxels that the encoder reads."""
    size = settings()["size"]
    if settings()["whole"]:
        return F.interpolate(image[None], size, mode="trilinear")[0] if list(image.shape[1:]) != size else image
    center = middle(image)
    out = image.flatten(1).amin(1)[:, None, None, None].expand(-1, *size).clone()
    here: list[slice] = []
    there: list[slice] = []
    for middle_, extent, count in zip(center, size, image.shape[1:], strict=True):
        room = count - extent
        start = min(max(middle_ - extent // 2, 0), room) if room >= 0 else -((extent - count) // 2)
        low, high = max(0, start), min(count, start + extent)
        here.append(slice(low - start, high - start))
        there.append(slice(low, high))
    out[(slice(None), *here)] = image[(slice(None), *there)]
    return out


def middle(image: Tensor, count: int = 256) -> list[int]:
    """The mean of foreground voxels, evenly spread over it in memory order."""
    x = image.mean(0)
    flat = torch.nonzero((x > air_below(thin(x))).reshape(-1))[:, 0]
    total = flat.numel() or x.numel()
    rank = ((torch.arange(count, dtype=torch.float64) + 0.5) * total / count).long()
    index = flat[rank] if flat.numel() else rank
    high, deep = x.shape[1], x.shape[2]
    points = torch.stack((index // (high * deep), index // deep % high, index % deep), 1)
    return [int(n) for n in points.double().mean(0).round()]


# ---------------------------------------------------------------------------------------------- intensity


def modality_of(image: Tensor) -> str:
    """What a volume is: CT has air, a shape two values, and the rest is MR."""
    some = thin(image)
    if float(some.min()) < AIR:
        return "ct"
    return "shape" if len(some.unique()) <= 2 else "mr"


def scale(image: Tensor, modality: str) -> Tensor:
    """A volume on the scale of its modality."""
    if modality == "mr":
        return torch.stack([standard(channel) for channel in image])
    low, high = settings()["window"] if modality == "ct" else (float(image.min()), float(image.max()))
    return image.clamp(low, high).sub(low).mul(2 / max(high - low, 1e-9)).sub(1)


def standard(x: Tensor) -> Tensor:
    """One channel with mean 0 and deviation 1 over its foreground, clipped to percentiles of it."""
    some = thin(x)
    inside = some[some > air_below(some)]
    inside = some if inside.numel() < 2 else inside
    low, high = torch.quantile(inside, torch.tensor(settings()["percentiles"]) / 100).tolist()
    inside = inside.clamp(low, high)
    deviation, mean, lowest = float(inside.std()), float(inside.mean()), min(low, float(some.min()))
    if deviation <= FLAT * (mean - lowest):
        raise ValueError(f"its foreground is constant, {mean:g} +- {deviation:.2g}")
    return x.clamp(lowest, high).sub(mean).div(deviation)


def thin(x: Tensor) -> Tensor:
    """Some values of ``x``, evenly spread."""
    flat = x.reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLE)]


def air_below(x: Tensor) -> float:
    """What lies at or below it is air; below all values where nothing is."""
    threshold = otsu(x)
    above = x > threshold
    if not bool(above.any()) or bool(above.all()):
        return float("-inf")
    low = float(x.min())
    dark, bright = float(x[~above].mean()) - low, float(x[above].mean()) - low
    return threshold if dark < DARK * bright else float("-inf")


def otsu(x: Tensor, bins: int = 128) -> float:
    """The threshold that splits values into two classes with the greatest variance between them."""
    low, high = float(x.min()), float(x.max())
    if not low < high:
        return low
    count = torch.histc(x.float(), bins, low, high).double()
    centers = low + (torch.arange(bins, dtype=torch.float64) + 0.5) * (high - low) / bins
    below, total = count.cumsum(0), count.sum()
    moment = (count * centers).cumsum(0)
    between = (moment[-1] * below - moment * total).square() / (below * (total - below)).clamp(min=1e-9)
    return low + (int(between[:-1].argmax()) + 1) * (high - low) / bins
