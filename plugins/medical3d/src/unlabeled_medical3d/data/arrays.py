"""Volumes in an ``.npz``: ``x`` and ``y``, or MedMNIST's ``train_images``, ``train_labels`` and so on.

``x[N, X, Y, Z]``, ``[N, C, X, Y, Z]`` or ``[N, X, Y, Z, C]``; ``y[N]`` whole numbers; ``masks[N, X, Y, Z]``;
``spacing[3]`` in mm, 1 without. Axes count as RAS.

    # N samples, C channels, X, Y, Z voxels
"""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlabeled.data.sides import Side
from unlabeled.data.sources import DAMAGED
from unlabeled.errors import UsageError
from unlabeled_medical3d.data.sources import MOST_CHANNELS

RATIO = 1100  # deflate cannot do better than 1032
PARTS: tuple[Side, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Arrays:
    """What an ``.npz`` holds: ``x[N, C, X, Y, Z]``, and None for what it does not have."""

    x: np.ndarray
    y: np.ndarray | None
    masks: np.ndarray | None
    sides: list[Side] | None
    spacing: tuple[float, float, float]


def read_npz(path: Path) -> Arrays:
    """The arrays of a file; :class:`UsageError` for what is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check_claim(archive, member)
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (*DAMAGED, zipfile.BadZipFile, AttributeError) as error:
        raise UsageError(f"{path} cannot be read as .npz: {error}") from error
    parts = [p for p in PARTS if f"{p}_images" in found]
    sides = [p for p in parts for _ in found[f"{p}_images"]] if parts else None
    if parts:
        found = {new: _join(found, parts, old) for new, old in NAMES.items() if f"{parts[0]}_{old}" in found} | found
    x = found.get("x")
    if x is None or x.ndim not in (4, 5) or x.dtype.kind not in "fiub" or len(x) == 0:
        said = ", ".join(f"{n}{list(v.shape)}" for n, v in sorted(found.items())) or "nothing"
        raise UsageError(f"{path} holds {said}; it must have x[N, X, Y, Z] or x[N, C, X, Y, Z], or train_images")
    x = _channels_first(x)
    y = found["y"].reshape(len(found["y"]), -1) if "y" in found else None
    if y is not None and (y.shape != (len(x), 1) or y.dtype.kind not in "iu" or y.min() < 0):
        raise UsageError(
            f"{path}: y is {y.dtype}{list(found['y'].shape)}; it must be one whole number from 0 on a volume"
        )
    masks = found.get("masks")
    if masks is not None and masks.shape != (len(x), *x.shape[2:]):
        raise UsageError(f"{path}: masks are {list(masks.shape)}; they must be {[len(x), *x.shape[2:]]}")
    spacing = np.asarray(found.get("spacing", (1.0, 1.0, 1.0)), dtype=np.float64).reshape(-1)
    if len(spacing) != 3 or not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise UsageError(f"{path}: spacing is {spacing.tolist()}; it must be 3 numbers of mm above 0")
    mm = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    return Arrays(x, None if y is None else y[:, 0], masks, sides, mm)


def _check_claim(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """``ValueError`` where an array claims more bytes than it has, before memory is taken for them."""
    if member.file_size > RATIO * max(1, member.compress_size):
        raise ValueError(f"{member.filename} claims {member.file_size:,} bytes from {member.compress_size:,}: a bomb")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
    claimed = math.prod(shape) * kind.itemsize
    if claimed > member.file_size:
        raise ValueError(f"{member.filename} claims {claimed:,} bytes, and has {member.file_size:,}")


NAMES = {"x": "images", "y": "labels", "masks": "masks"}


def _join(found: dict[str, np.ndarray], parts: list[Side], name: str) -> np.ndarray:
    return np.concatenate([found[f"{part}_{name}"] for part in parts])


def _channels_first(x: np.ndarray) -> np.ndarray:
    if x.ndim == 4:
        return x[:, None]
    return np.moveaxis(x, -1, 1) if x.shape[-1] <= MOST_CHANNELS < x.shape[1] else x
