"""Errors of users and of plugins: one clear line, exit code 2, no traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """A mistake that the user can mend. The message says what was found and what would be right."""


class PluginError(UsageError):
    """A plugin that is installed but broken, or an optional package that a component needs."""


def near(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """``" Perhaps you meant a, b."``, or the known names where none is near.

    >>> near("simcrl", ["simclr", "moco_v2"])
    ' Perhaps you meant simclr.'
    """
    known = sorted(set(known))
    close = get_close_matches(name, known, n=most, cutoff=0.5)
    if close:
        return f" Perhaps you meant {', '.join(close)}."
    return f" Known: {', '.join(known)}." if known else ""


class RunError(RuntimeError):
    """A run that cannot go on, though nothing is wrong with the command: one clear line, exit code 1."""


def above(least: float, /, **settings: float) -> None:
    """``ValueError`` for a setting that is not above ``least``: for constructors.

    >>> above(0, temperature=0.0)
    Traceback (most recent call last):
    ValueError: temperature is 0.0; it must be above 0
    """
    for name, value in settings.items():
        if not value > least:
            raise ValueError(f"{name} is {value}; it must be above {least}")


def at_least(least: float, /, **settings: float) -> None:
    """``ValueError`` for a setting below ``least``: for constructors.

    >>> at_least(0, weight=-1.0)
    Traceback (most recent call last):
    ValueError: weight is -1.0; it must be at least 0
    """
    for name, value in settings.items():
        if not value >= least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")


def within(low: float, high: float, /, **settings: float) -> None:
    """``ValueError`` for a setting outside [low, high]: for constructors.

    >>> within(0, 1, share=1.5)
    Traceback (most recent call last):
    ValueError: share is 1.5; it must be in [0, 1]
    """
    for name, value in settings.items():
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}; it must be in [{low}, {high}]")


def below_one(**settings: float) -> None:
    """``ValueError`` for a setting outside [0, 1): for constructors.

    >>> below_one(dropout=1.0)
    Traceback (most recent call last):
    ValueError: dropout is 1.0; it must be in [0, 1)
    """
    for name, value in settings.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} is {value}; it must be in [0, 1)")
