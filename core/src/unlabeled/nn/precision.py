"""Full precision under autocast: losses and their statistics are computed in float32, or float64 where inputs are."""

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """``x`` in float32, or float64 where it is that.

    >>> full(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x if x.dtype == torch.float64 else x.float()


def full_precision(x: Tensor) -> torch.autocast:
    """A context without autocast on the device of ``x``: ``with full_precision(z): ...``.

    >>> with torch.autocast("cpu", dtype=torch.bfloat16), full_precision(torch.ones(2, 2)):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    return torch.autocast(x.device.type, enabled=False)
