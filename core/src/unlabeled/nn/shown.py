"""What a component prints of itself: its settings, as its constructor takes them."""

from __future__ import annotations

import inspect

from torch import Tensor, nn


def settings(part: object) -> str:
    """``temperature=0.5, chunk=0``: settings that ``part`` keeps under their own names; for ``extra_repr``.

    What a setting was made into (a projector of its widths) stands among the modules of ``part``.

    >>> settings(objective)
    'temperature=0.5, chunk=0'
    """
    names = [p.name for p in inspect.signature(type(part)).parameters.values() if p.kind is p.KEYWORD_ONLY]
    kept = {name: getattr(part, name) for name in names if hasattr(part, name)}
    return ", ".join(f"{name}={value!r}" for name, value in kept.items() if not isinstance(value, nn.Module | Tensor))


def shown(part: object) -> str:
    """``RandomMask(ratio=0.75)``: for ``__repr__``.

    >>> from unlabeled.masks.random import RandomMask
    >>> RandomMask()
    RandomMask(ratio=0.75)
    """
    return f"{type(part).__name__}({settings(part)})"
