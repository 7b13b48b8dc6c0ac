"""Adam with L2 decay in the gradient, https://arxiv.org/abs/1412.6980, as graph papers train.

Their decay is not AdamW's: an L2 term of 2e-4 in the gradient moves weights of small gradients, where a decoupled one
of the same size does next to nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer


def adam(
    groups: list[dict[str, Any]],
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
) -> Optimizer:
    """Adam.

    Args:
        lr: learning rate at the schedule's factor 1, at least 0.
        weight_decay: L2 decay added to the gradient, at least 0.
        beta1: decay of the mean of gradients, in [0, 1).
        beta2: decay of the mean of squared gradients, in [0, 1).
    """
    if lr < 0 or weight_decay < 0:
        raise ValueError(f"lr is {lr} and weight_decay {weight_decay}; both must be at least 0")
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"beta1 is {beta1} and beta2 {beta2}; both must be in [0, 1)")
    fused = True if all(p.device.type == "cpu" for group in groups for p in group["params"]) else None
    plain = [{k: v for k, v in group.items() if k != "adapt"} for group in groups]
    return torch.optim.Adam(plain, lr=lr, weight_decay=weight_decay, betas=(beta1, beta2), fused=fused)
