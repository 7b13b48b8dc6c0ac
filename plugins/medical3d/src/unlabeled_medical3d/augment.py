"""Intensity changes of volumes, batched: noise, blur, brightness, contrast, low resolution, gamma, bias field.

The operations and ranges are nnU-Net's (https://arxiv.org/abs/1904.08128) as nnssl trains SimCLR with them, and a bias
field as torchio and MONAI have it. ``strength`` scales every range about the value that changes nothing. All parameters
are drawn on the host by the sample's address. Blur and low resolution are matrices along each axis, so one product an
axis does both.

    # B samples, C channels, R samples that an operation applies to, X, Y, Z voxels, L voxels of an axis
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose

ORDER = 3  # degree of the bias field's polynomial
TERMS = tuple((i, j, k) for i in range(ORDER + 1) for j in range(ORDER + 1 - i) for k in range(ORDER + 1 - i - j))[1:]


class Use(IntEnum):
    """Purposes of this plugin's own draws."""

    BRIGHTNESS = 1024
    CONTRAST = 1025
    RESOLUTION = 1026
    GAMMA = 1027
    BIAS = 1028
    APPLY = 1029
    CURVE = 1030
    SHUFFLE_PLACE = 1031
    SHUFFLE_ORDER = 1032
    PAINT = 1033
    TURN = 1034
    SLICE = 1036
    SHIFT = 1037
    SHUFFLE_APPLY = 1038
    PAINT_APPLY = 1039
    PAINT_SMALL = 1040
    PAINT_LARGE = 1041
    CUT = 1044
    CUT_BUDGET = 1045
    TILT = 1046


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
        for name in NAMES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a probability in [0, 1]")
        if not 0 <= self.strength <= 2:
            raise ValueError(f"strength is {self.strength}; it must be in [0, 2]")

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


def rows_where(flags_B: Tensor, device: torch.device) -> Tensor:
    """``int64[R]``, where flags on the host are True."""
    return torch.nonzero(flags_B)[:, 0].to(device)


def per_sample(values_R: Tensor, x: Tensor) -> Tensor:
    """``[R] -> [R, 1, 1, 1, 1]``, on the device and of the type of ``x``."""
    return values_R.to(x.device, x.dtype).reshape(-1, 1, 1, 1, 1)


def gaussian(draw: Draw, rows: Tensor, shape: torch.Size, purpose: int) -> Tensor:
    """Normal numbers ``[R, *shape]``, from a generator of each sample's own: far faster than a word a number."""
    seeds = draw.to("cpu").words(1, purpose)[:, 0]
    out = torch.empty(len(rows), *shape)
    for row, target in zip(rows.tolist(), out):
        target.normal_(generator=torch.Generator().manual_seed(int(seeds[row]) & ((1 << 63) - 1)))
    return out


def noise_(x: Tensor, sigma_B: Tensor, draw: Draw) -> Tensor:
    """Gaussian noise of deviation ``sigma_B`` added in place; 0 = none."""
    rows = rows_where(sigma_B > 0, sigma_B.device)
    if len(rows):
        drawn = gaussian(draw, rows, x.shape[1:], Purpose.NOISE) * sigma_B[rows].reshape(-1, 1, 1, 1, 1)
        x.index_add_(0, rows.to(x.device), drawn.to(x.device, x.dtype))
    return x


def blur_matrix(sigma_R: Tensor, length: int) -> Tensor:
    """``[R, L, L]``: rows are Gaussian weights about each voxel, cut at the edge and normalized; sigma 0 = identity."""
    place = torch.arange(length, dtype=torch.float32)
    distance = (place[:, None] - place).square()
    weights = torch.exp(-distance / (2 * sigma_R.clamp(min=1e-3).square())[:, None, None])
    return weights / weights.sum(-1, keepdim=True)


def lowres_matrix(share_R: Tensor, length: int) -> Tensor:
    """``[R, L, L]``: nearest sampling of ``share`` of the voxels of a line, and linear interpolation back."""
    few = (share_R * length).round().clamp(min=1)[:, None]  # [R, 1]
    voxel = torch.arange(length, dtype=torch.float32)
    at = ((voxel + 0.5) * few / length - 0.5).clamp(min=0)
    at = torch.minimum(at, few - 1)
    low = at.floor()
    out = torch.zeros(len(share_R), length, length)
    for place, weight in ((low, 1 - (at - low)), (torch.minimum(low + 1, few - 1), at - low)):
        source = ((place + 0.5) * length / few).floor().long().clamp(max=length - 1)
        out.scatter_add_(2, source[..., None], weight[..., None])
    return out


def smooth_(x: Tensor, sigma_B: Tensor, share_B: Tensor) -> Tensor:
    """Blur and lower the resolution of the samples where either does something, in place."""
    flags = (sigma_B > 0) | (share_B < 1)
    rows = rows_where(flags, x.device)
    if not len(rows):
        return x
    part, sigma, share = x[rows], sigma_B[flags], share_B[flags]
    for axis in (2, 3, 4):
        length = part.shape[axis]
        matrix = (lowres_matrix(share, length) @ blur_matrix(sigma, length)).to(x.device, x.dtype)
        lines = part.movedim(axis, 1)  # [R, L, ...]
        part = torch.bmm(matrix, lines.flatten(2)).view(lines.shape).movedim(1, axis)
    return x.index_copy_(0, rows, part.contiguous())


def level_(x: Tensor, brightness_B: Tensor, contrast_B: Tensor) -> Tensor:
    """Multiply, then spread about the mean of each channel within its range, in place."""
    flags = brightness_B != 1
    if flags.any():
        x.mul_(per_sample(brightness_B, x))
    flags = contrast_B != 1
    rows = rows_where(flags, x.device)
    if len(rows):
        part = x[rows]
        low, high = part.amin((2, 3, 4), keepdim=True), part.amax((2, 3, 4), keepdim=True)
        mean = part.mean((2, 3, 4), keepdim=True)
        part.sub_(mean).mul_(per_sample(contrast_B[flags], x)).add_(mean)
        x.index_copy_(0, rows, torch.minimum(torch.maximum(part, low), high))
    return x


def gamma_(x: Tensor, gamma_B: Tensor) -> Tensor:
    """``x ** gamma`` of each sample scaled to [0, 1] and back, in place; 1 = as it is."""
    flags = gamma_B != 1
    rows = rows_where(flags, x.device)
    if len(rows):
        part = x[rows]
        low, wide = extent(part)
        part.sub_(low).div_(wide).clamp_(0, 1).pow_(per_sample(gamma_B[flags], x)).mul_(wide).add_(low)
        x.index_copy_(0, rows, part)
    return x


def extent(x: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest value and range of each sample and channel, ``[B, C, 1, 1, 1]``; the range is above 0."""
    low = x.amin((2, 3, 4), keepdim=True)
    return low, (x.amax((2, 3, 4), keepdim=True) - low).clamp(min=1e-6)


def bias_(x: Tensor, coefficients_BT: Tensor) -> Tensor:
    """Brightness that drifts smoothly over the volume, in place: above the lowest value, times exp(polynomial)."""
    flags = (coefficients_BT != 0).any(1)
    rows = rows_where(flags, x.device)
    if len(rows):
        part = x[rows]
        low, _ = extent(part)
        field = bias_field(coefficients_BT[flags].to(x.device), part.shape[2:]).exp().to(x.dtype)
        x.index_copy_(0, rows, part.sub_(low).mul_(field[:, None]).add_(low))
    return x


def bias_field(coefficients_RT: Tensor, size: torch.Size) -> Tensor:
    """``[R, X, Y, Z]``: sum of coefficients times x^i y^j z^k, i + j + k from 1 to 3, on [-1, 1]."""
    device = coefficients_RT.device
    cube = torch.zeros(len(coefficients_RT), ORDER + 1, ORDER + 1, ORDER + 1, device=device)
    i, j, k = torch.tensor(TERMS, device=device).T
    cube[:, i, j, k] = coefficients_RT
    for axis, length in enumerate(size, start=1):
        place = torch.linspace(-1, 1, length, device=device) if length > 1 else torch.zeros(1, device=device)
        powers = place[:, None] ** torch.arange(ORDER + 1, device=device)
        cube = torch.tensordot(cube, powers, dims=([axis], [1])).movedim(-1, axis)
    return cube
