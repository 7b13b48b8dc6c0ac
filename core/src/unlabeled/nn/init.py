"""Positions and weights to start from: sine-cosine embeddings, Xavier-uniform layers.

# T packed rows, P coordinates
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.nn.precision import full


def sincos(position_TP: Tensor, width: int) -> Tensor:
    """Sine-cosine embedding ``[T, width]``, an equal part for each coordinate; 0 where rows have no position.

    >>> sincos(torch.tensor([[0], [1]]), 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    coordinates = position_TP.shape[1]
    if coordinates == 0:
        return torch.zeros(len(position_TP), width, device=position_TP.device)
    count = width // (2 * coordinates)
    frequency = torch.exp(torch.arange(count, device=position_TP.device) * (-math.log(10000.0) / max(count, 1)))
    angle_TPF = full(position_TP)[..., None] * frequency
    parts = torch.cat((angle_TPF.sin(), angle_TPF.cos()), dim=-1).flatten(1)
    return F.pad(parts, (0, width - parts.shape[1]))


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases of all Linear layers, in place.

    >>> layer = nn.Linear(3, 3)
    >>> xavier(layer)
    >>> bool(layer.weight.abs().max() <= 1), layer.bias.tolist()
    (True, [0.0, 0.0, 0.0])
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@torch.no_grad()
def start_transformer(model: nn.Module, project: Any, positions_1ND: Tensor, place_NP: Tensor) -> None:
    """MAE's start, in place: Xavier-uniform layers, patches among them, and sine-cosine positions that learn on.

    Args:
        model: holds ``project`` and ``positions_1ND``.
        project: the convolution that embeds patches.
        positions_1ND: a parameter.
        place_NP: coordinates of the rows.

    >>> project, positions = nn.Conv1d(1, 4, 2), nn.Parameter(torch.zeros(1, 3, 4))
    >>> start_transformer(nn.ModuleList([project]), project, positions, torch.arange(3)[:, None])
    >>> positions[0, 0]
    tensor([0., 0., 1., 1.], grad_fn=<SelectBackward0>)
    """
    xavier(model)
    nn.init.xavier_uniform_(project.weight.flatten(1))  # as the linear layer that it is
    nn.init.zeros_(project.bias)
    positions_1ND.copy_(sincos(place_NP, positions_1ND.shape[-1])[None])
