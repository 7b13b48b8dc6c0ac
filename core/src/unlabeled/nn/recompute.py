"""What a network computes row by row, of which backward holds the input alone: the rest is computed again there.

Recomputation: Chen et al. 2016, https://arxiv.org/abs/1604.06174. A perceptron four times as wide as its input holds
nine numbers where this holds one. On a CPU some rows at a time, so that what is computed again stays small as well.

    # T rows, D features
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

ROWS = 4096  # of a block on a CPU
LEAST = 1 << 20  # numbers of an input; a smaller one is not worth a tenth of the time


def rowwise(change: Callable[[Tensor], Tensor], x_TD: Tensor, rows: int = 0) -> Tensor:
    """``change(x)``, which must draw nothing and treat each row by itself: same values, same gradients to rounding.

    On a CPU ``rows`` at a time, 0 = ``ROWS``; fewer where each is a sequence.

    >>> rowwise(torch.relu, torch.tensor([[-1.0, 2.0]]))
    tensor([[0., 2.]])
    """
    if torch.compiler.is_exporting():  # a graph for any number of rows
        return change(x_TD)
    parts = x_TD.split(rows or ROWS) if x_TD.device.type == "cpu" else (x_TD,)
    if not torch.is_grad_enabled() or x_TD.numel() < LEAST:
        found = [change(part) for part in parts]
    else:
        found = [checkpoint(change, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found)
