"""Decoded samples kept in memory that forked workers share, so that each file is decoded once.

# N samples of the data set, S numbers of all of them
"""

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor


@dataclass
class Cache:
    """Samples end to end, ``values[S]``, which of them are there, ``ready[N]``, and where each begins."""

    values: Tensor
    ready: Tensor
    begin: tuple[int, ...]

    @classmethod
    def fitting(cls, sizes: Sequence[int], dtype: torch.dtype, most: int) -> Self | None:
        """Room for samples of so many numbers each, where that is within ``most`` MiB; else None."""
        total = sum(sizes) * dtype.itemsize
        if not 0 < total <= most << 20:
            return None
        # an anonymous map, not torch's shared memory: a container's /dev/shm may hold 64 MB, and a fault there kills
        flat = torch.frombuffer(mmap.mmap(-1, total + len(sizes)), dtype=torch.uint8)
        return cls(flat[:total].view(dtype), flat[total:].view(torch.bool), tuple(accumulate(sizes, initial=0)))

    def one(self, number: int, read: Callable[[], Tensor]) -> Tensor:
        """Sample ``number`` flat, by ``read`` the first time; as it was read, each time, where it does not fit."""
        place = slice(self.begin[number], self.begin[number + 1])
        if not self.ready[number]:
            found = read()
            if found.numel() != place.stop - place.start:
                return found
            self.values[place] = found.flatten()
            self.ready[number] = True
        return self.values[place]
