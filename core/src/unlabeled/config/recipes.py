"""Recipes: named YAML files of a domain, found in its plugin's package without importing what they name.

A recipe has the form of a run's config (:mod:`unlabeled.config.run`) and leaves out what the domain's defaults say. It
lies in ``recipes/<name>.yaml`` of the package that holds the domain's components; no table lists it.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlabeled.config.run import default_name, merge, read_yaml
from unlabeled.errors import UsageError, near
from unlabeled.plugins.registry import registry


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What ``unlabeled recipes`` shows of a recipe."""

    domain: str
    name: str
    summary: str
    paper: str
    objective: str
    encoder: str


def recipe_files(domain: str) -> dict[str, Path]:
    """Name to file, sorted by name."""
    found: dict[str, Path] = {}
    for package in _packages(domain):
        for file in sorted((package / "recipes").glob("*.yaml")):
            found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def load_recipe(domain: str, name: str) -> dict[str, Any]:
    """The mapping that a recipe holds, with its own name in it."""
    files = recipe_files(domain)
    if name not in files:
        hint = near(name, files) if files else f" Domain {domain!r} has none."
        raise UsageError(f"unknown recipe {name!r} in domain {domain!r}.{hint}")
    return merge(read_yaml(files[name]), {"recipe": name})


def describe_recipe(domain: str, name: str) -> Recipe:
    """The head of a recipe, and the components that it stands on."""
    raw = load_recipe(domain, name)
    row = registry().domain(domain)

    def chosen(kind: str) -> str:
        part = raw.get(kind)
        return str((part.get("name") if isinstance(part, dict) else part) or default_name(row, kind))

    return Recipe(
        domain=domain,
        name=name,
        summary=str(raw.get("summary", "")),
        paper=str(raw.get("paper", "")),
        objective=chosen("objective"),
        encoder=chosen("encoder"),
    )


def _packages(domain: str) -> list[Path]:
    """Folders of the top-level packages that the domain's own components live in."""
    names = {row.target.partition(".")[0].partition(":")[0] for row in registry().domain(domain).components}
    folders: list[Path] = []
    for name in sorted(names - {"unlabeled"}):
        spec = importlib.util.find_spec(name)  # a top-level name: finds it, imports nothing
        folders += [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    return folders
