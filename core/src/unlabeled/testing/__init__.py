"""The kit of plugin authors: conformance and conduct, toys, ranks, and the template of a new plugin.

``check("vision")`` yields the outcome of every check, as ``unlabeled plugin check vision`` prints them;
``parametrize_checks("vision")`` makes a pytest test of each. ``parametrize_conduct({"mine": Mine})`` asks every law of
an objective. Heavy imports happen on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlabeled.testing.checks import CHECKS, Outcome, check
    from unlabeled.testing.conduct import parametrize_conduct
    from unlabeled.testing.parametrize import parametrize_checks

_HOME = {
    **dict.fromkeys(("CHECKS", "Outcome", "check"), "unlabeled.testing.checks"),
    "parametrize_checks": "unlabeled.testing.parametrize",
    "parametrize_conduct": "unlabeled.testing.conduct",
}
__all__ = ["CHECKS", "Outcome", "check", "parametrize_checks", "parametrize_conduct"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'unlabeled.testing' has no attribute {name!r}")
