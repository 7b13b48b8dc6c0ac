"""`unlabeled`: self-supervised learning as one craft, for every modality. Heavy imports happen on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unlabeled.api import embed, export, finetune, load, predict, pretrain, preview, probe
    from unlabeled.errors import PluginError, UsageError
    from unlabeled.plugins.words import CONTRACT, Component, Domain, hookimpl

_HOME = {
    **dict.fromkeys(("CONTRACT", "Component", "Domain", "hookimpl"), "unlabeled.plugins.words"),
    **dict.fromkeys(("PluginError", "UsageError"), "unlabeled.errors"),
    **dict.fromkeys(
        ("embed", "export", "finetune", "load", "predict", "pretrain", "preview", "probe"), "unlabeled.api"
    ),
}
__all__ = [
    "CONTRACT",
    "Component",
    "Domain",
    "PluginError",
    "UsageError",
    "embed",
    "export",
    "finetune",
    "hookimpl",
    "load",
    "predict",
    "pretrain",
    "preview",
    "probe",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'unlabeled' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
