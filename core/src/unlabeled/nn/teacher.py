"""A momentum teacher: copies of modules that follow them as an exponential moving average; ramps; a frozen encoder.

Mean teacher, https://arxiv.org/abs/1703.01780; as MoCo, BYOL and DINO use it. Buffers are copied, not averaged. The
copies are in evaluation mode, so that no dropout and no stochastic depth disturbs what is learned from, but for their
BatchNorm, which in training normalizes with statistics of the batch; ``train=False`` keeps that in evaluation too.
"""

import copy
import math
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Progress, View


class Teacher(nn.Module):
    """Deep copies of named modules that ask for no gradient: ``teacher.encoder``, ``teacher.projector``.

    Called with a view it gives the encoder's pooled features, through the other copies in their order, without a
    gradient: ``projector(encoder(view).pooled)``.

    Args:
        train: whether BatchNorm in the copies follows ``train()``; False keeps it in evaluation mode.
        modules: what is copied, by name.

    >>> head = nn.Linear(4, 2)
    >>> teacher = Teacher(head=head)
    >>> teacher.update(0.99, head=head)  # after each step
    >>> teacher.head(torch.ones(3, 4)).requires_grad
    False
    """

    def __init__(self, *, train: bool = True, **modules: nn.Module) -> None:
        super().__init__()
        self.names = tuple(modules)
        self.follows = train
        for name, module in modules.items():
            self.add_module(name, copy.deepcopy(module))
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Have BatchNorm in the copies normalize with statistics of the batch, unless it is kept in evaluation."""
        super().train(False)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = mode and self.follows  # itself alone: timm's holds a dropout
        return self

    def forward(self, view: View) -> Tensor:
        """``[B, D]``: what the last copy gives for the encoder's pooled features of ``view``."""
        first, *heads = (self.get_submodule(name) for name in self.names)
        with torch.no_grad():
            x = first(view).pooled
            for head in heads:
                x = head(x)
        return x

    def __getattr__(self, name: str) -> Any:  # a copy is whatever module was given, and is called as that
        return super().__getattr__(name)

    @torch.no_grad()
    def update(self, momentum: float, **modules: nn.Module) -> None:
        """teacher = momentum * teacher + (1 - momentum) * modules, in one foreach call; buffers are copied."""
        assert set(modules) == set(self.names), (sorted(modules), self.names)
        ordered = [modules[name] for name in self.names]
        ours: list[Tensor] = list(self.parameters())
        theirs: list[Tensor] = list(chain.from_iterable(m.parameters() for m in ordered))
        assert len(ours) == len(theirs), (len(ours), len(theirs))
        torch._foreach_lerp_(ours, theirs, 1.0 - momentum)
        mine, source = list(self.buffers()), list(chain.from_iterable(m.buffers() for m in ordered))
        assert len(mine) == len(source), (len(mine), len(source))
        if mine:
            torch._foreach_copy_(mine, source)


class Frozen(nn.Module):
    """An encoder beside an objective that stays as it is: in evaluation mode, without gradients.

    One that a run trained is no part of the state, since its run folder has it; without one, a copy of ``start`` is.

    Args:
        trained: what a run trained, or None.
        start: what is copied in its place.

    >>> frozen = Frozen(None, nn.Linear(4, 2))
    >>> frozen(torch.ones(3, 4)).requires_grad
    False
    """

    def __init__(self, trained: Any, start: Any = None) -> None:
        super().__init__()
        self._trained = [] if trained is None else [trained]  # in a list: no submodule, so no part of the state
        self.start = copy.deepcopy(start) if trained is None else None
        self.encoder.requires_grad_(False).eval()

    @property
    def encoder(self) -> Any:
        """The encoder itself."""
        return self._trained[0] if self._trained else self.start

    def train(self, mode: bool = True) -> Self:
        """Nothing changes: no dropout in what is learned from."""
        return super().train(False)

    def _apply(self, *args: Any, **options: Any) -> Self:
        for module in self._trained:
            module._apply(*args, **options)
        return super()._apply(*args, **options)

    @torch.no_grad()
    def forward(self, view: View) -> Features:
        """The features of ``view``."""
        found: Features = self.encoder(view)
        return found


def cosine_momentum(base: float, final: float, progress: Progress) -> float:
    """The cosine ramp of BYOL, from ``base`` at the start of training to ``final`` at its end.

    >>> cosine_momentum(0.9, 1.0, Progress(10, 20))
    0.95
    """
    return final - (final - base) * (math.cos(math.pi * progress.fraction) + 1.0) / 2.0


def linear_momentum(base: float, final: float, progress: Progress, share: float = 1.0) -> float:
    """Linear from ``base`` to ``final`` over the first ``share`` of training, then constant.

    >>> linear_momentum(0.9, 1.0, Progress(5, 20), share=0.5)
    0.95
    """
    done = min(1.0, progress.fraction / share) if share else 1.0
    return base + (final - base) * done
