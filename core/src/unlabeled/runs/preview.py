"""A picture of what an objective will see: views and masks of the first epoch of a run, drawn by its domain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlabeled.config.run import RunConfig, together
from unlabeled.config.settings import check, signature
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import Component


def preview_of(domain: str) -> Component:
    """What draws for ``domain``."""
    name = registry().domain(domain).defaults.get("preview")
    if name is None:
        raise UsageError(f"domain {domain!r} has no preview")
    return registry().find(domain, "preview", name)


def draw(config: RunConfig, out: Path, settings: Mapping[str, Any]) -> Path:
    """Write the picture; its path. Where ``settings`` have no seed, it is the run's."""
    component = preview_of(config.domain)
    sig = signature(component)
    given, wrong = check("preview", settings, sig)
    if wrong:
        raise UsageError(together(wrong))
    if "seed" in sig.names:
        given.setdefault("seed", config.training.seed)
    from unlabeled.build import build
    from unlabeled.plugins.live import construct

    parts = build(config)
    wired = {"data": parts.data, "views": parts.views, "out_png": out, "parts": parts}
    path: Path = construct(component, given, wired)
    return path
