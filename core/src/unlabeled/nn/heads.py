"""Projectors and predictors: multi-layer perceptrons whose BatchNorm spans all ranks; and unit vectors.

Weights start as torch's Linear does, uniform in +-1/sqrt(width in); biases likewise, norms at 1 and 0.

    # B samples, D features
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.nn.distributed import BatchNorm
from unlabeled.nn.precision import full

Norm = Literal["batch", "layer", "none"]


def mlp(
    widths: Sequence[int],
    *,
    norm: Norm = "batch",
    last_norm: bool = False,
    last_affine: bool = True,
    activation: Literal["relu", "gelu"] = "relu",
    bias: bool | None = None,
) -> nn.Sequential:
    """``x[B, widths[0]] -> [B, widths[-1]]``: Linear, norm, activation for each width, the last one linear.

    Args:
        widths: of the input, of each hidden layer, of the output.
        norm: after each hidden Linear.
        last_norm: the same norm after the last Linear.
        last_affine: whether that last norm has a scale and shift.
        activation: between layers.
        bias: of every Linear; None = where no norm follows, which would take it away or bring its own.

    >>> mlp((64, 128, 32))(torch.randn(8, 64)).shape
    torch.Size([8, 32])
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths are {tuple(widths)}; a head has an input and an output width, each at least 1")
    if last_norm and norm == "none":
        raise ValueError("last_norm asks for a norm after the last layer, and norm is none")
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for number, (wide_in, wide_out) in enumerate(pairwise(widths)):
        normed = norm != "none" if number < last else last_norm
        layers.append(nn.Linear(wide_in, wide_out, bias=not normed if bias is None else bias))
        if normed:
            layers.append(_norm(norm, wide_out, affine=number < last or last_affine))
        if number < last:
            layers.append(nn.ReLU(inplace=True) if activation == "relu" else nn.GELU())
    return nn.Sequential(*layers)


def _norm(kind: Norm, width: int, *, affine: bool) -> nn.Module:
    return BatchNorm(width, affine=affine) if kind == "batch" else nn.LayerNorm(width, elementwise_affine=affine)


def unit(x_BD: Tensor) -> Tensor:
    """Rows of ``x[B, D]`` at length 1, in full precision; a zero row stays zero.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    x_BD = full(x_BD)
    # a factor that cancels in value and gradient, so that the squares of large numbers do not overflow
    scale = x_BD.detach().abs().amax(dim=1, keepdim=True).clamp(min=1.0)
    return F.normalize(x_BD / scale, dim=1, eps=1e-8)
