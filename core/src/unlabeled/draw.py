"""Addressed randomness: a number is a function of (seed, epoch, sample, view, purpose, position), never of call order.

splitmix64 (Steele, Lea, Flood 2014, https://doi.org/10.1145/2660193.2660195) as a counter-based generator, in int64
torch: multiplication wraps and shifts are exact, so every device gives the same bits, and so does NumPy. A sample gets
the same draws whatever the batch, its order, the number of workers or ranks, or a resume.

    # B samples, n numbers a sample, T packed rows
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from unlabeled.transfer import on_host, send

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # as a signed 64-bit integer
_M1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_M2 = 0x94D049BB133111EB - (1 << 64)
_U1, _U2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
PER_WORD = 2  # a 64-bit word gives two 32-bit numbers


class Purpose(IntEnum):
    """What a number is drawn for. Plugins outside this repository take integers from 1024 to 65535."""

    CROP = 1
    CROP_ASPECT = 2
    CROP_PLACE = 3
    FLIP = 4
    JITTER = 5
    JITTER_ORDER = 6
    JITTER_APPLY = 7
    GRAY = 8
    BLUR = 9
    BLUR_APPLY = 10
    SOLARIZE = 11
    ROTATE = 12
    NOISE = 13
    MASK = 32
    MASK_SIZE = 33
    MASK_PLACE = 34
    MASK_FILL = 35
    SWAP = 36
    MIX = 37
    SLICE = 38  # random projections of an objective
    DROPOUT = 39
    ORDER = 40  # order of an epoch
    SPLIT = 41
    GAIN = 64
    SHIFT = 65
    STRETCH = 66
    PITCH = 67
    REVERB = 68
    EDGE = 96
    NODE = 97
    FEATURE = 98
    WALK = 99
    NEGATIVE = 100
    GUMBEL = 101
    ENTRY = 102


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def mix64(z: Tensor) -> Tensor:
    """splitmix64's finalizer on int64, element by element."""
    if z.device.type == "cpu" and z.dim() and not torch.compiler.is_compiling():
        return _mix64_on_host(z)
    z = (z ^ _shift(z, 30)) * _M1
    z = (z ^ _shift(z, 27)) * _M2
    return z ^ _shift(z, 31)


def _mix64_on_host(z: Tensor) -> Tensor:
    """The same in NumPy: draws are many and small, and a small NumPy operation costs a fifth of torch's."""
    x = z.numpy().view(np.uint64)
    x = x ^ (x >> _S30)
    x *= _U1
    x ^= x >> _S27
    x *= _U2
    x ^= x >> _S31
    return torch.from_numpy(x.view(np.int64))


@dataclass(frozen=True)
class Draw:
    """Draws for the samples of one view.

    Args:
        seed: of the run.
        epoch: so that a sample differs from epoch to epoch; a tensor ``[]`` stays on its device.
        ids: ``int64[B]`` index of each sample in its data set.
        view: number of the view, 0 to 2**32.

    >>> Draw(seed=0, epoch=0, ids=torch.tensor([5, 7])).uniform(3, Purpose.CROP).shape
    torch.Size([2, 3])
    """

    seed: int
    epoch: int | Tensor
    ids: Tensor
    view: int = 0

    def at(self, view: int) -> Draw:
        """The same samples, another view."""
        return replace(self, view=view)

    def to(self, device: torch.device | str) -> Draw:
        """The same draws, made on another device."""
        host = torch.device(device).type == "cpu"
        return replace(self, ids=on_host(self.ids) if host else self.ids.to(device))

    def __len__(self) -> int:
        return self.ids.numel()

    @cached_property
    def _sample_key(self) -> Tensor:
        """The part of the key that all purposes share, computed once."""
        k = mix64(self.ids.to(torch.int64) + _wrap(self.seed * GOLDEN))
        turn = self.epoch * GOLDEN + 1
        return mix64(k + (turn if isinstance(turn, Tensor) else _wrap(turn)))

    def _key(self, purpose: int) -> Tensor:
        assert 0 <= purpose <= 65535, f"purpose {purpose} does not fit beside the view: 0 to 65535"
        return mix64(self._sample_key + _wrap((self.view << 16 | int(purpose)) * GOLDEN + 2))

    def words(self, n: int, purpose: int) -> Tensor:
        """``int64[B, n]``: n words of 64 random bits for each sample."""
        steps = torch.arange(1, n + 1, device=self.ids.device, dtype=torch.int64) * GOLDEN
        return mix64(self._key(purpose)[:, None] + steps)

    def bits(self, n: int, purpose: int) -> Tensor:
        """``int64[B, n]``: n numbers of 32 random bits, in [0, 2**32)."""
        words = self.words((n + 1) // PER_WORD, purpose)
        halves = torch.stack((words & 0xFFFFFFFF, _shift(words, 32)), dim=-1)
        return halves.flatten(1)[:, :n]

    def uniform(self, n: int, purpose: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """``float32[B, n]`` in [low, high), on a grid of 2**-24."""
        unit = _unit(self.bits(n, purpose))
        if (low, high) == (0.0, 1.0):
            return unit
        # two separate roundings: a fused multiply-add would differ from device to device; the second may reach high
        below = torch.nextafter(torch.tensor(float(high)), torch.tensor(float(low))).item()
        return ((unit * (high - low)) + low).clamp(max=below)

    def integers(self, n: int, purpose: int, high: int | Tensor, low: int | Tensor = 0) -> Tensor:
        """``int64[B, n]`` in [low, high); ``high`` and ``low`` may be tensors that broadcast to it. high < 2**31."""
        return (self.bits(n, purpose) * (high - low) >> 32) + low

    def bernoulli(self, n: int, purpose: int, p: float) -> Tensor:
        """``bool[B, n]``, True with probability p (compared as integers, so exact on every device)."""
        return self.bits(n, purpose) < int(p * (1 << 32))

    def permutation(self, n: int, purpose: int) -> Tensor:
        """``int64[B, n]``: a permutation of range(n) for each sample. n < 2**20."""
        assert n < 1 << 20, f"{n} does not fit the 20 bits that break ties"
        index = torch.arange(n, device=self.ids.device)
        # the index in the low bits breaks ties in the same way on every device
        return torch.argsort((self.words(n, purpose) & ~0xFFFFF) | index, dim=1)

    def normal(self, n: int, purpose: int) -> Tensor:
        """``float32[B, n]`` standard normal, by Box-Muller in float64 on the CPU (log and cos differ by device)."""
        bits = self.to("cpu").bits(2 * n, purpose).double()
        radius = torch.sqrt(-2.0 * torch.log((bits[:, :n] + 0.5) * 2.0**-32))
        normal = (radius * torch.cos((2.0 * math.pi * 2.0**-32) * bits[:, n:])).float()
        return send([normal], self.ids.device)[0]

    def rows(self, purpose: int, sample: Tensor, position: Tensor) -> Tensor:
        """``int64[T]``: one word of 64 bits for each packed row, addressed by (sample, position).

        Row ``t`` of sample ``sample[t]`` gets the word that ``words`` gives it at ``position[t]``, so a mask drawn on
        packed rows equals one drawn on a dense grid.
        """
        return mix64(self._key(purpose)[sample] + (position.to(torch.int64) + 1) * GOLDEN)


def gumbel(words: Tensor) -> Tensor:
    """Standard Gumbel noise, finite, of 64 random bits each, in float32.

    It takes 23 bits: float32 has every midpoint of 2**23 parts of [0, 1], but rounds the last of 2**24 to 1.

    >>> gumbel(torch.tensor([0, -1]))  # the least and the greatest
    tensor([-2.8115, 16.6355])
    """
    return -torch.log(-torch.log(((words >> 41 & 0x7FFFFF).float() + 0.5) * 2.0**-23))


def _unit(bits: Tensor) -> Tensor:
    return (bits >> 8).float() * 2.0**-24


def _wrap(value: int) -> int:
    """A Python integer as signed 64-bit."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value
