"""Intensities to the scale that encoders see, by modality, and which voxels are foreground.

``ct``: Hounsfield units clipped to a window, then -1 to 1. ``mr``: clipped to percentiles of the foreground, then mean
0 and deviation 1 there, for each channel. ``shape``: the data type's range, or the volume's own, to -1 to 1.
Foreground is what lies above Otsu's threshold (https://doi.org/10.1109/TSMC.1979.4310076), where that parts air from a
body; a volume without air, a crop inside the body, is foreground as a whole. A foreground of one value has no deviation
and is refused.

    # C channels, X, Y, Z voxels, K points
"""

from typing import Literal

import torch
from torch import Tensor

from unlabeled.data.readable import SampleError

Modality = Literal["ct", "mr", "shape"]
AIR = -200.0  # Hounsfield units: MR has no values below 0, and CT of a body has many below this
DARK = 0.2  # air's mean is below this share of the body's: two tissues are nearer (0.4 to 0.6 in crops of a brain)
FLAT = 0.01  # a deviation of the foreground below this share of its height above air says nothing of a body
SAMPLE = 1 << 16  # voxels that percentiles are taken from: exact ones would sort the whole volume


def guess_modality(image: Tensor) -> Modality:
    """What ``image[C, X, Y, Z]`` is: CT has air, a shape two values, and the rest is MR."""
    thin = _thin(image.float())
    if float(thin.min()) < AIR:
        return "ct"
    return "shape" if len(thin.unique()) <= 2 else "mr"


def _thin(x: Tensor) -> Tensor:
    """At most :data:`SAMPLE` values of ``x``, evenly spread."""
    flat = x.reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLE)]


def scale(image: Tensor, modality: Modality, window: tuple[float, float], percentiles: tuple[float, float]) -> Tensor:
    """``float32[C, X, Y, Z]`` on the scale of its modality."""
    if modality == "ct":
        low, high = window
        return image.float().clamp(low, high).sub_(low).mul_(2 / (high - low)).sub_(1)
    if modality == "shape":
        x = image.float()
        low, high = float(x.min()), float(x.max())
        return (x - low).mul_(2 / max(high - low, 1e-9)).sub_(1)
    return torch.stack([_standard(channel.float(), percentiles) for channel in image])


def _standard(x: Tensor, percentiles: tuple[float, float]) -> Tensor:
    """One channel with mean 0 and deviation 1 over its foreground, clipped to percentiles of it."""
    thin = _thin(x)
    inside = thin[thin > air_below(thin)]
    inside = thin if inside.numel() < 2 else inside
    shares = torch.tensor(percentiles, dtype=thin.dtype) / 100
    low, high = torch.quantile(inside, shares).tolist()
    inside = inside.clamp(low, high)
    deviation, mean, lowest = float(inside.std()), float(inside.mean()), min(low, float(thin.min()))
    if deviation <= FLAT * (mean - lowest):
        raise SampleError(
            f"its foreground is constant, {mean:g} +- {deviation:.2g}, and cannot be brought to a deviation of 1; "
            "if it is a shape, --data.modality shape reads it"
        )
    return x.clamp(lowest, high).sub_(mean).div_(deviation)


def otsu(x: Tensor, bins: int = 128) -> float:
    """The threshold that splits values ``x`` into two classes with the greatest variance between them."""
    low, high = float(x.min()), float(x.max())
    if not low < high:
        return low
    count = torch.histc(x.float(), bins, low, high).double()
    centers = low + (torch.arange(bins, dtype=torch.float64) + 0.5) * (high - low) / bins
    below, total = count.cumsum(0), count.sum()
    moment = (count * centers).cumsum(0)
    mean = moment[-1]
    between = (mean * below - moment * total).square() / (below * (total - below)).clamp(min=1e-9)
    best = int(between[:-1].argmax())
    return low + (best + 1) * (high - low) / bins


def air_below(x: Tensor) -> float:
    """What lies at or below it is air; below all values where nothing is."""
    threshold = otsu(x)
    above = x > threshold
    if not bool(above.any()) or bool(above.all()):
        return float("-inf")
    low = float(x.min())
    dark, bright = float(x[~above].mean()) - low, float(x[above].mean()) - low
    return threshold if dark < DARK * bright else float("-inf")


def foreground_points(image: Tensor, count: int = 256) -> Tensor:
    """``int64[K, 3]``: voxels of the foreground, evenly spread over it in memory order; of the grid where none is."""
    x = image.mean(0)
    flat = torch.nonzero((x > air_below(_thin(x))).reshape(-1))[:, 0]
    total = flat.numel() or x.numel()
    rank = ((torch.arange(count, dtype=torch.float64) + 0.5) * total / count).long()
    index = flat[rank] if flat.numel() else rank
    size = torch.tensor(x.shape)
    return torch.stack((index // (size[1] * size[2]), index // size[2] % size[1], index % size[2]), 1)
