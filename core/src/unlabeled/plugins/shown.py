"""The ``repr`` of components: their settings, as the constructor takes them. Imports no torch."""

import inspect
from typing import Any

PLAIN = bool | int | float | str | tuple | list | dict | None


def settings(part: object) -> str:
    """``temperature=0.5, chunk=0``: the settings that ``part`` keeps under their own names.

    What a setting was made into (a projector of its widths) stands among the modules of ``part``.
    """
    names = [p.name for p in inspect.signature(type(part)).parameters.values() if p.kind is p.KEYWORD_ONLY]
    kept = {name: getattr(part, name) for name in names if hasattr(part, name)}
    return ", ".join(f"{name}={value!r}" for name, value in kept.items() if isinstance(value, PLAIN))


def shown(part: object) -> str:
    """``RandomMask(ratio=0.75)``."""
    return f"{type(part).__name__}({settings(part)})"


def with_settings(target: Any) -> Any:
    """A component's class, which from now on prints its settings where it said nothing of them."""
    if inspect.isclass(target) and target.__repr__ is object.__repr__:
        setattr(target, "__repr__", shown)  # noqa: B010 - a class of anyone's, which a type checker will not assign to
    elif getattr(getattr(target, "extra_repr", None), "__qualname__", "") == "Module.extra_repr":  # torch's, empty
        target.extra_repr = settings
    return target
