"""``unlabeled list`` and ``unlabeled recipes``: what is installed, from tables and YAML heads alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from unlabeled.cli.flags import Flag, Parsed, read, render
from unlabeled.config.recipes import Recipe, describe_recipe, recipe_files
from unlabeled.config.run import default_name, together
from unlabeled.errors import UsageError
from unlabeled.plugins.core import ROWS
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import KINDS, Component

EVERY = "*"  # stands for the components that any domain has
JSON = Flag("json", bool, "print JSON", False)
LIST_FLAGS = (JSON, Flag("markdown", bool, "print Markdown tables, for a README", False))


def list_command(words: Sequence[str]) -> int:
    """``unlabeled list [DOMAIN] [--json] [--markdown]``"""
    if _helped(words):
        print(render("unlabeled list [DOMAIN] [flags]", "What is installed, by kind; * marks a default.", LIST_FLAGS))
        return 0
    typed = _read(words, LIST_FLAGS)
    if typed.words:
        registry().domain(typed.words[0])
    names = typed.words or [*sorted(registry().domains), EVERY]
    # one domain is shown with core's own components; in the list of all, those stand once, at the end
    sections = [section(name, whole=bool(typed.words)) for name in names]
    broken = [] if typed.words else [asdict_broken(name) for name in sorted(registry().broken)]
    if typed["json"]:
        print(json.dumps({"domains": sections, "broken": broken}, indent=2))
    elif typed["markdown"]:
        print("\n\n".join(map(_markdown, sections)))
    else:
        missing = [f"{name}  not installed, but named in UNLABELED_PLUGINS" for name in registry().missing]
        print("\n\n".join([*map(_plain, sections), *map(_plain_broken, broken), *missing]))
    return 0


def recipes_command(words: Sequence[str]) -> int:
    """``unlabeled recipes [DOMAIN] [--json]``"""
    if _helped(words):
        print(render("unlabeled recipes [DOMAIN] [flags]", "Every recipe: what it composes, and its paper.", (JSON,)))
        return 0
    typed = _read(words, (JSON,))
    found: list[Recipe] = []
    broken: list[str] = []
    for domain in typed.words or sorted(registry().domains):
        for name in recipe_files(domain):
            try:
                found.append(describe_recipe(domain, name))
            except UsageError as error:
                broken.append(f"{domain} {name}: {error}")
    if typed["json"]:
        print(json.dumps({"recipes": [asdict(recipe) for recipe in found], "broken": broken}, indent=2))
        return 0
    rows = [(r.domain, r.name, r.objective, r.encoder, _link(r.paper), r.summary) for r in found]
    print(_columns([("domain", "recipe", "objective", "encoder", "paper", "summary"), *rows]))
    for line in broken:
        print(f"not readable: {line}")
    return 0


def _helped(words: Sequence[str]) -> bool:
    return "-h" in words or "--help" in words


def _read(words: Sequence[str], flags: Sequence[Flag]) -> Parsed:
    typed = read(words, flags)
    if len(typed.words) > 1:
        typed.errors.append(f"unexpected {' '.join(typed.words[1:])!r}: at most one domain")
    if typed.errors:
        raise UsageError(together(typed.errors))
    return typed


def section(name: str, *, whole: bool) -> dict[str, Any]:
    """One domain with its components, as ``--json`` prints it; ``*`` is what every domain has."""
    shared = {(row.kind, row.name) for row in ROWS}
    if name == EVERY:
        found = sorted(ROWS, key=lambda row: (KINDS.index(row.kind), row.name))
        rows = [_row(row, row.name == DEFAULTS.get(row.kind)) for row in found]
        return {"name": EVERY, "summary": "what every domain has", "distribution": "unlabeled", "components": rows}
    domain = registry().domain(name)
    rows = [
        _row(row, row.name == default_name(domain, row.kind) or _family_default(row, default_name(domain, row.kind)))
        for row in registry().components(name)
        if whole or (row.kind, row.name) not in shared
    ]
    return {
        "name": name,
        "summary": domain.summary,
        "sample": domain.sample,
        "distribution": registry().distribution(name),
        "defaults": dict(domain.defaults),
        "components": rows,
    }


DEFAULTS = {"optimizer": "adamw", "schedule": "cosine"}


def _family_default(row: Component, default: str) -> bool:
    return row.name.endswith("/*") and default.startswith(row.name[:-1])


def _row(row: Component, default: bool) -> dict[str, Any]:
    return asdict(row) | {"default": default}


def asdict_broken(name: str) -> dict[str, str]:
    """A plugin that did not load."""
    broken = registry().broken[name]
    return {
        "name": name,
        "distribution": broken.distribution,
        "cause": f"{type(broken.cause).__name__}: {broken.cause}",
    }


def _plain(found: dict[str, Any]) -> str:
    name = found["name"] if found["name"] != EVERY else "core"
    head = "  ".join(filter(None, [name, f"({found['distribution'] or 'plugin file'})", found["summary"]]))
    lines = [head] if not found.get("sample") else [head, f"  one sample: {found['sample']}"]
    last = ""
    table = []
    for row in found["components"]:
        kind, last = ("" if row["kind"] == last else row["kind"]), row["kind"]
        extra = f"[{row['extra']}]" if row["extra"] else ""
        summary = f"{row['summary']} {extra}".rstrip()
        table.append((f"  {kind}", row["name"] + "*" * row["default"], summary, _link(row["paper"])))
    return "\n".join([*lines, _columns(table)])


def _plain_broken(found: dict[str, str]) -> str:
    return f"{found['name']}  not loaded: {found['distribution']}: {found['cause']}"


def _markdown(found: dict[str, Any]) -> str:
    lines = [f"### {found['name']}", "", found["summary"], "", "| kind | name | | paper |", "|---|---|---|---|"]
    for row in found["components"]:
        name = f"`{row['name']}`" + " (default)" * row["default"]
        link = _link(row["paper"])
        paper = f"[{row['paper']}](https://{link})" if link else ""
        lines.append(f"| {row['kind']} | {name} | {row['summary']} | {paper} |")
    return "\n".join(lines)


def _link(paper: str) -> str:
    """Where an arXiv id or a DOI is read."""
    if re.fullmatch(r"\d{4}\.\d{4,5}(v\d+)?", paper):
        return f"arxiv.org/abs/{paper}"
    return f"doi.org/{paper}" if paper.startswith("10.") else paper


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
