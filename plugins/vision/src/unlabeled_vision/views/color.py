"""Color operations on batches, each sample with its own strength; equal to torchvision's functions one by one.

    # n samples, C channels, H height, W width; values are in [0, 1], strengths are [n]

Operations that end in ``_`` work in place: at 224 px a fresh 20 MB tensor costs more than the arithmetic on it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.transfer import numbers, send

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, rounded as torchvision has it
LARGE = 1 << 15  # numbers of an image from which on it is worth a call of its own
BLOCK = 1 << 17  # most numbers blurred at once: more would leave the cache


def luminance(x: Tensor) -> Tensor:
    """``[n, C, H, W] -> [n, 1, H, W]``: luma of RGB, the mean of anything else."""
    if x.shape[1] == 1:
        return x
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    red, green, blue = x.split(1, 1)
    return red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def brightness_(x: Tensor, factor: Tensor) -> Tensor:
    """0 gives black, 1 the image."""
    return x.mul_(_each(factor)).clamp_(0, 1)


def contrast_(x: Tensor, factor: Tensor) -> Tensor:
    """0 gives the mean gray of the image, 1 the image."""
    factor = _each(factor)
    mean = luminance(x).mean((1, 2, 3), keepdim=True)
    return x.mul_(factor).add_(mean.mul_(1 - factor)).clamp_(0, 1)


def saturation_(x: Tensor, factor: Tensor) -> Tensor:
    """0 gives the gray image, 1 the image. 3 channels."""
    factor = _each(factor)
    gray = luminance(x).mul_(1 - factor)
    return x.mul_(factor).add_(gray).clamp_(0, 1)


def hue_(x: Tensor, turn: Tensor) -> Tensor:
    """Hue turned by ``turn`` in [-0.5, 0.5] of the color circle. 3 channels.

    Value and chroma stay, so only the place on the hexagon is computed, not HSV and back: from red at 0, it is
    1 + (green + blue - red - low) / chroma, on the side of green or of blue. Branches cost eight times an addition.
    """
    red, green, blue = x.unbind(1)
    high = torch.maximum(red, green)
    low = torch.minimum(red, green)
    high, low = torch.maximum(high, blue, out=high), torch.minimum(low, blue, out=low)
    chroma = high.sub_(low)
    place = (green + blue).sub_(red).sub_(low).div_(chroma.clamp(min=1e-12)).add_(1)
    place = torch.copysign(place, green - blue, out=place).add_(turn[:, None, None], alpha=6)
    scratch = place * (1 / 6)
    place.sub_(scratch.floor_(), alpha=6)  # in [0, 6)
    # how much of the chroma each channel has, over the six sides of the hexagon
    torch.addcmul(low, chroma, torch.sub(place, 3, out=scratch).abs_().sub_(1).clamp_(0, 1), out=red)
    for channel, center in ((green, 2), (blue, 4)):
        share = torch.sub(place, center, out=scratch).abs_().neg_().add_(2).clamp_(0, 1)
        torch.addcmul(low, chroma, share, out=channel)
    return x


JITTER: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (brightness_, contrast_, saturation_, hue_)
NEUTRAL = (1.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True)
class OnRows:
    """An operation on samples ``rows`` with their ``values``, which are known on the host.

    Args:
        operation: of ``x[n, C, H, W]`` and ``values[n]``.
        sent: rows and values on the images' device, where they have been sent.
    """

    operation: Callable[[Tensor, Tensor], Tensor]
    rows: Tensor
    values: Tensor
    sent: tuple[Tensor, Tensor] | None = None


def sent(steps: Sequence[OnRows], device: torch.device) -> list[OnRows]:
    """The steps with all their rows and values on ``device``, by one copy."""
    there = send([tensor for step in steps for tensor in (step.rows, step.values)], device)
    return [replace(step, sent=pair) for step, pair in zip(steps, zip(there[::2], there[1::2]), strict=True)]


def apply_(x: Tensor, steps: Sequence[OnRows]) -> Tensor:
    """The operations one after another.

    Large images on a CPU go one by one, where they stand: gathered, they would leave the cache.
    """
    one_by_one = x.device.type == "cpu" and x[0].numel() >= LARGE
    steps = steps if one_by_one or all(step.sent for step in steps) else sent(steps, x.device)
    for step in steps:
        if one_by_one:
            for row, value in zip(step.rows.tolist(), step.values.split(1)):
                part = x[row : row + 1]
                result = step.operation(part, value)
                if result is not part:
                    part.copy_(result)
        else:
            rows, values = step.sent or (step.rows, step.values)
            x.index_copy_(0, rows, step.operation(x.index_select(0, rows), values))
    return x


def jitter(factors: Tensor, order: Tensor, channels: int) -> list[OnRows]:
    """The four operations with ``factors[n, 4]`` in the sequence ``order[n, 4]``; neutral factors do nothing.

    At each place of the sequence, the samples that have the same operation there go together. Without 3 channels
    there is neither saturation nor hue.
    """
    active = factors != torch.tensor(NEUTRAL)
    steps = []
    for place in range(4):
        for number in range(4 if channels == 3 else 2):
            rows = ((order[:, place] == number) & active[:, number]).nonzero()[:, 0]
            steps.append(OnRows(JITTER[number], rows, factors[rows, number]))
    return [step for step in steps if len(step.rows)]


def grayscale(rows: Tensor) -> list[OnRows]:
    """Samples ``rows`` become gray. 3 channels."""
    return [OnRows(lambda part, _: part.copy_(luminance(part)), rows, rows)] if len(rows) else []


def solarize(rows: Tensor, threshold: float = 0.5) -> list[OnRows]:
    """Values from ``threshold`` on are inverted in samples ``rows``."""
    return [OnRows(lambda part, _: torch.where(part >= threshold, 1 - part, part), rows, rows)] if len(rows) else []


def blur(rows: Tensor, sigma: Tensor, radius: int, numbers: int) -> list[OnRows]:
    """Gaussian blur of samples ``rows``, of ``numbers`` values each, with ``sigma[rows]`` pixels."""
    if len(rows) == 0:
        return []
    rows = rows[sigma[rows].argsort(stable=True)]  # like sigmas together: a small one needs fewer taps
    taps = [
        (part, min(radius, math.ceil(5.5 * float(sigma[part].max())))) for part in rows.split(max(1, BLOCK // numbers))
    ]
    return [OnRows(partial(gaussian_blur, radius=count), part, sigma[part]) for part, count in taps]


def gaussian_blur(x: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """``x[n, C, H, W]`` with ``sigma[n]``, a kernel of 2 radius + 1 pixels, and mirrored borders."""
    if radius == 0:
        return x
    offsets = torch.arange(radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = (kernel / (2 * kernel.sum(1, keepdim=True) - kernel[:, :1])).T[..., None, None, None]
    padded = F.pad(x, (radius,) * 4, mode="reflect")
    return _taps(_taps(padded, kernel, 3), kernel, 2)


def _taps(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """The symmetric ``kernel[radius + 1, n, 1, 1, 1]`` along one axis, without its borders."""
    radius = len(kernel) - 1
    length = x.shape[axis] - 2 * radius
    out = x.narrow(axis, radius, length) * kernel[0]
    pair = torch.empty_like(out)
    for offset in range(1, radius + 1):
        torch.add(x.narrow(axis, radius - offset, length), x.narrow(axis, radius + offset, length), out=pair)
        out.addcmul_(pair, kernel[offset])
    return out


def normalize_(x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """``(x - mean) / std`` for each channel of ``x[B, C, H, W]``."""
    return x.sub_(_channels(mean, x)).mul_(_channels(tuple(1 / s for s in std), x))


def denormalize(x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """The inverse: values in [0, 1] again."""
    return x * _channels(std, x) + _channels(mean, x)


def _channels(values: tuple[float, ...], x: Tensor) -> Tensor:
    return numbers(values, x.device, x.dtype)[:, None, None]


def _each(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]
