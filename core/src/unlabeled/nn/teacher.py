"""A momentum teacher: copies of modules that follow them as an exponential moving average.

Mean teacher, https://arxiv.org/abs/1703.01780; as MoCo, BYOL and DINO use it. Buffers are copied, not averaged. The
copies follow ``train()`` and ``eval()`` like any submodule: in training they normalize with statistics of the batch.
"""

from __future__ import annotations

import copy
import math
from itertools import chain

import torch
from torch import Tensor, nn

from unlabeled.contract import Progress


class Teacher(nn.Module):
    """Deep copies of ``modules`` that ask for no gradient; ``teacher[0]`` is the copy of the first."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for module in modules)
        self.requires_grad_(False)

    def __getitem__(self, number: int) -> nn.Module:
        return self.copies[number]

    @torch.no_grad()
    def update(self, momentum: float, *modules: nn.Module) -> None:
        """teacher = momentum * teacher + (1 - momentum) * modules, in one foreach call; buffers are copied."""
        assert len(modules) == len(self.copies), (len(modules), len(self.copies))
        ours: list[Tensor] = list(self.copies.parameters())
        theirs: list[Tensor] = list(chain.from_iterable(m.parameters() for m in modules))
        assert len(ours) == len(theirs), (len(ours), len(theirs))
        torch._foreach_lerp_(ours, theirs, 1.0 - momentum)
        mine, source = list(self.copies.buffers()), list(chain.from_iterable(m.buffers() for m in modules))
        assert len(mine) == len(source), (len(mine), len(source))
        if mine:
            torch._foreach_copy_(mine, source)


def momentum_at(base: float, final: float, progress: Progress) -> float:
    """The cosine ramp of BYOL, from ``base`` at the start of training to ``final`` at its end."""
    return final - (final - base) * (math.cos(math.pi * progress.fraction) + 1.0) / 2.0
