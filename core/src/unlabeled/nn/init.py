"""Positions and weights to start from: sine-cosine embeddings, Xavier-uniform layers.

# T packed rows, P coordinates
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.nn.precision import full


def sincos(position_TP: Tensor, width: int) -> Tensor:
    """Sine-cosine embedding ``[T, width]``, an equal part for each coordinate; 0 where rows have no position."""
    coordinates = position_TP.shape[1]
    if coordinates == 0:
        return torch.zeros(len(position_TP), width, device=position_TP.device)
    count = width // (2 * coordinates)
    frequency = torch.exp(torch.arange(count, device=position_TP.device) * (-math.log(10000.0) / max(count, 1)))
    angle_TPF = full(position_TP)[..., None] * frequency
    parts = torch.cat((angle_TPF.sin(), angle_TPF.cos()), dim=-1).flatten(1)
    return F.pad(parts, (0, width - parts.shape[1]))
