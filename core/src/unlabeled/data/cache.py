"""Memory that forked workers share, for samples that are decoded once."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor


def shared_memory(count: int) -> Tensor:
    """``uint8[count]`` zeros, which processes forked from this one write to and read."""
    # an anonymous map, not torch's shared memory: a container's /dev/shm may hold 64 MB, and a fault there kills
    return torch.frombuffer(mmap.mmap(-1, count), dtype=torch.uint8)
