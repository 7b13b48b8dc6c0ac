"""Decoded clips kept in memory that forked workers share, so that each file is decoded once.

# N clips of the data set, S samples of all of them
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from unlabeled.data.cache import shared_memory
from unlabeled_audio.batch import starts


@dataclass
class Cache:
    """Decoded clips end to end, ``wave[S]``, and which of them are there: ``ready[N]``."""

    wave: Tensor
    ready: Tensor
    lengths: tuple[int, ...]
    begin: tuple[int, ...]

    @classmethod
    def fitting(cls, lengths: tuple[int, ...], most: int) -> Self | None:
        """Room for all clips, where that is within ``most`` MiB; else None."""
        total = 4 * sum(lengths)
        if not total or total > most << 20:
            return None
        flat = shared_memory(total + len(lengths))
        return cls(flat[:total].view(torch.float32), flat[total:].view(torch.bool), lengths, starts(lengths))

    def one(self, number: int, read: Callable[[], Tensor]) -> Tensor:
        """Clip ``number``, by ``read`` the first time."""
        place = slice(self.begin[number], self.begin[number] + self.lengths[number])
        if not self.ready[number]:
            self.wave[place] = fit(read(), self.lengths[number])
            self.ready[number] = True
        return self.wave[place]


def fit(wave: Tensor, length: int) -> Tensor:
    """A wave of just ``length`` samples: resamplers differ by one at the end."""
    return wave[:length] if len(wave) >= length else torch.nn.functional.pad(wave, (0, length - len(wave)))
