"""Intensity changes of volumes, batched: noise, blur, brightness, contrast, low resolution, gamma, bias field.

The operations and ranges are nnU-Net's (https://arxiv.org/abs/1904.08128) as nnssl trains SimCLR with them, and a bias
field as torchio and MONAI have it. ``strength`` scales every range about the value that changes nothing. All parameters
are drawn on the host by the sample's address. A change touches only the samples that it happens to, in place.

    # B samples, C channels, R samples, T terms of the bias field, X, Y, Z voxels
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled.errors import within
from unlabeled.transfer import numbers, on, send
from unlabeled_medical3d.ops.purposes import Use

REACH = 4  # sigmas at which a blur is cut
ORDER = 3  # degree of the bias field's polynomial
TERMS = tuple((i, j, k) for i in range(ORDER + 1) for j in range(ORDER + 1 - i) for k in range(ORDER + 1 - i - j))[1:]


NAMES = ("noise", "blur", "brightness", "contrast", "lowres", "gamma", "bias")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Probabilities of each change, and one strength for all."""

    noise: float = 0.1  # deviation up to 0.1
    blur: float = 0.2  # sigma 0.5 to 1 voxels
    brightness: float = 0.15  # factor 0.75 to 1.25
    contrast: float = 0.15  # factor 0.75 to 1.25
    lowres: float = 0.1  # 0.5 to 1 of the voxels along each axis
    gamma: float = 0.3  # exponent 0.7 to 1.5
    bias: float = 0.1  # coefficients up to 0.3
    strength: float = 1.0

    def __post_init__(self) -> None:
        within(0, 1, **{name: getattr(self, name) for name in NAMES})
        within(0, 2, strength=self.strength)

    def draw(self, draw: Draw) -> dict[str, Tensor]:
        """What happens to each sample, ``[B, ...]``, on the host: the neutral value where nothing does."""
        s = self.strength
        apply = dict(zip(NAMES, (draw.uniform(len(NAMES), Use.APPLY) < self._chances()).unbind(1), strict=True))

        def pick(name: str, purpose: int, low: float, high: float, neutral: float, n: int = 1) -> Tensor:
            value = draw.uniform(n, purpose) * (high - low) + low
            return torch.where(apply[name][:, None], value, torch.full_like(value, neutral)).squeeze(1)

        return {
            "noise": pick("noise", Purpose.NOISE, 0, 0.1 * s, 0),
            "blur": pick("blur", Purpose.BLUR, 0.5 * s, s, 0),
            "brightness": pick("brightness", Use.BRIGHTNESS, 1 - 0.25 * s, 1 + 0.25 * s, 1),
            "contrast": pick("contrast", Use.CONTRAST, 1 - 0.25 * s, 1 + 0.25 * s, 1),
            "lowres": pick("lowres", Use.RESOLUTION, max(0.25, 1 - 0.5 * s), 1, 1),
            "gamma": pick("gamma", Use.GAMMA, 0.7**s, 1.5**s, 1),
            "bias": pick("bias", Use.BIAS, -0.3 * s, 0.3 * s, 0, len(TERMS)),
        }

    def _chances(self) -> Tensor:
        return torch.tensor([getattr(self, name) for name in NAMES])

    def __call__(self, x: Tensor, draw: Draw) -> tuple[Tensor, dict[str, Tensor]]:
        """``x[B, C, X, Y, Z]`` changed in place, and what was done."""
        params = self.draw(draw.to("cpu"))
        return change_(x, params, draw), params


def change_(x: Tensor, params: Mapping[str, Tensor], draw: Draw) -> Tensor:
    """Apply the parameters of :meth:`Augment.draw`, in nnU-Net's order; ``x`` is changed in place."""
    noise_(x, params["noise"], draw)
    smooth_(x, params["blur"], params["lowres"])
    level_(x, params["brightness"], params["contrast"])
    gamma_(x, params["gamma"])
    return bias_(x, params["bias"])


def rows_where(flags_B: Tensor) -> list[int]:
    """Numbers of the samples whose flag, on the host, is True."""
    return [row for row, flag in enumerate(flags_B.tolist()) if flag]


def per_sample(values_R: Tensor, x: Tensor) -> Tensor:
    """``[R] -> [R, 1, 1, 1, 1]``, on the device and of the type of ``x``."""
    return on(values_R.to(x.dtype), x.device).reshape(-1, 1, 1, 1, 1)


def noise_(x: Tensor, sigma_B: Tensor, draw: Draw) -> Tensor:
    """Gaussian noise of deviation ``sigma_B`` added in place; 0 = none.

    It comes from a generator of each sample's own, which is far faster than a word a number.
    """
    seeds = draw.to("cpu").words(1, Purpose.NOISE)[:, 0].tolist()
    rows = rows_where(sigma_B > 0)
    for part in [rows] if x.device.type != "cpu" else [[row] for row in rows]:  # on a device by one copy
        drawn = [torch.empty(x.shape[1:]).normal_(generator=generator_of(seeds[row])) for row in part]
        for row, made in zip(part, send(drawn, x.device), strict=True):
            x[row].add_(made.to(x.dtype), alpha=float(sigma_B[row]))
    return x


def generator_of(word: int) -> torch.Generator:
    """A generator of the host by 63 bits of a word."""
    return torch.Generator().manual_seed(word & ((1 << 63) - 1))


def shifts(length: int, sigma: float) -> list[tuple[float, list[tuple[slice, slice]]]]:
    """Weights of a Gaussian cut at ``REACH`` sigma, and to where from where each of them moves an axis."""
    found: list[tuple[float, list[tuple[slice, slice]]]] = []
    for step in range(min(math.ceil(REACH * sigma), length - 1) + 1):
        here, there = slice(step, None), slice(length - step)
        weight = math.exp(-(step**2) / (2 * sigma**2))
        found.append((weight, [(here, there), (there, here)] if step else [(slice(None), slice(None))]))
    return found


def reached(length: int, sigma: float) -> Tensor:
    """``float32[length]``: the sum of the weights that lie within the axis, of each place."""
    total = torch.zeros(length)
    for weight, moves in shifts(length, sigma):
        for to, _ in moves:
            total[to] += weight
    return total


def blurred(x: Tensor, sigma: float, sums: Sequence[Tensor] | None = None) -> Tensor:
    """``x[C, X, Y, Z]`` under a Gaussian of ``sigma`` voxels, cut at ``REACH`` sigma and at the edges, of sum 1.

    An axis is a sum of shifted copies: a few passes over memory, where a convolution of one channel takes many more.
    ``sums`` are those of :func:`reached` of each axis on the device of ``x``, where they have been sent.
    """
    sums = send([reached(length, sigma) for length in x.shape[1:]], x.device) if sums is None else sums
    for axis, total in enumerate(sums, start=1):
        (weight, _), *others = shifts(x.shape[axis], sigma)
        out, narrow = x * weight, (slice(None),) * axis
        for weight, moves in others:
            for to, source in moves:
                out[(*narrow, to)].add_(x[(*narrow, source)], alpha=weight)
        x = out.div_(total.to(x.dtype).reshape(-1, *[1] * (3 - axis)))
    return x


def lowered(x: Tensor, share: float) -> Tensor:
    """``x[C, X, Y, Z]`` from the nearest of ``share`` of its voxels along each axis, and trilinear back."""
    few = [max(1, round(share * length)) for length in x.shape[1:]]
    return F.interpolate(F.interpolate(x[None], few, mode="nearest-exact"), x.shape[1:], mode="trilinear")[0]


def smooth_(x: Tensor, sigma_B: Tensor, share_B: Tensor) -> Tensor:
    """Blur by ``sigma_B`` voxels (0 = none), then lower to ``share_B`` of the resolution (1 = all of it), in place."""
    rows = rows_where(sigma_B > 0)
    sums = send([reached(length, float(sigma_B[row])) for row in rows for length in x.shape[2:]], x.device)
    for number, row in enumerate(rows):
        x[row] = blurred(x[row], float(sigma_B[row]), sums[3 * number : 3 * number + 3])
    for row in rows_where(share_B < 1):
        x[row] = lowered(x[row], float(share_B[row]))
    return x


def level_(x: Tensor, brightness_B: Tensor, contrast_B: Tensor) -> Tensor:
    """Multiply, then spread about the mean of each channel within its range, in place."""
    for row in rows_where(brightness_B != 1):
        x[row].mul_(float(brightness_B[row]))
    for row in rows_where(contrast_B != 1):
        part, factor = x[row], float(contrast_B[row])
        low, wide = extent(part)
        mean = part.mean((1, 2, 3), keepdim=True)
        torch.clamp(part.mul_(factor).add_(mean * (1 - factor)), low, low + wide, out=part)
    return x


def gamma_(x: Tensor, gamma_B: Tensor) -> Tensor:
    """``x ** gamma`` of each sample scaled to [0, 1] and back, in place; 1 = as it is."""
    for row in rows_where(gamma_B != 1):
        part = x[row]
        low, wide = extent(part)
        part.sub_(low).div_(wide).clamp_(0, 1).pow_(float(gamma_B[row])).mul_(wide).add_(low)
    return x


def extent(x: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest value and range of each channel of ``x[..., C, X, Y, Z]``, ``[..., C, 1, 1, 1]``; the range is above 0."""
    low = x.amin((-3, -2, -1), keepdim=True)
    return low, (x.amax((-3, -2, -1), keepdim=True) - low).clamp(min=1e-6)


def bias_(x: Tensor, coefficients_BT: Tensor) -> Tensor:
    """Brightness that drifts smoothly over the volume, in place: above the lowest value, times exp(polynomial)."""
    there = send([coefficients_BT], x.device)[0]
    for row in rows_where((coefficients_BT != 0).any(1)):
        part = x[row]
        low, _ = extent(part)
        field = bias_field(there[row : row + 1], part.shape[1:]).exp_().to(x.dtype)
        part.sub_(low).mul_(field).add_(low)
    return x


def bias_field(coefficients_RT: Tensor, size: torch.Size) -> Tensor:
    """``[R, X, Y, Z]``: sum of coefficients times x^i y^j z^k, i + j + k from 1 to 3, on [-1, 1]."""
    device = coefficients_RT.device
    cube = torch.zeros(len(coefficients_RT), ORDER + 1, ORDER + 1, ORDER + 1, device=device)
    i, j, k = numbers([power for term in TERMS for power in term], device).view(-1, 3).T
    cube[:, i, j, k] = coefficients_RT
    for axis, length in enumerate(size, start=1):
        place = torch.linspace(-1, 1, length, device=device) if length > 1 else torch.zeros(1, device=device)
        powers = place[:, None] ** torch.arange(ORDER + 1, device=device)
        cube = torch.tensordot(cube, powers, dims=([axis], [1])).movedim(-1, axis)
    return cube
