"""``unlabeled list [DOMAIN]``: what is installed, from tables alone."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unlabeled.config.run import default_name
from unlabeled.plugins.core import ROWS
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import KINDS, Component

EVERY = "*"  # stands for the components that any domain has
DEFAULTS = {"optimizer": "adamw", "schedule": "cosine"}


@dataclass(frozen=True)
class Listing:
    """Domains with their components, as ``--json`` prints them, and what stands below their tables."""

    domains: list[dict[str, Any]]
    broken: list[dict[str, str]]
    notes: list[str]
    markdown: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {"domains": self.domains, "broken": self.broken}

    def text(self) -> str:
        """A table for each domain."""
        if self.markdown:
            return "\n\n".join(map(_markdown, self.domains))
        broken = [f"{b['name']}  not loaded: {b['distribution']}: {b['cause']}" for b in self.broken]
        missing = [f"{name}  not installed, but named in UNLABELED_PLUGINS" for name in registry().missing]
        return "\n\n".join([*map(_plain, self.domains), *self.notes, *broken, *missing])


def list_command(domain: str = "", *, markdown: bool = False) -> Listing:
    """What is installed, by kind; * marks a default. Objectives are those that parts of the domain can serve.

    Args:
        markdown: print Markdown tables, for a README.
    """
    if domain:  # shown with core's own components; in the list of all, those stand once, at the end
        found = section(domain, whole=True)
        others = len(registry().components(domain)) - len(found["components"])
        notes = [f"objectives that ask for what no part of {domain} gives: {others}; unlabeled matrix names them"]
        return Listing([found], [], notes * (others > 0), markdown)
    domains = [section(name, whole=False) for name in [*sorted(registry().domains), EVERY]]
    return Listing(domains, [_broken(name) for name in sorted(registry().broken)], [], markdown)


def section(name: str, *, whole: bool) -> dict[str, Any]:
    """One domain with its components; ``*`` is what every domain has."""
    shared = {(row.kind, row.name) for row in ROWS}
    if name == EVERY:
        found = sorted(ROWS, key=lambda row: (KINDS.index(row.kind), row.name))
        rows = [asdict(row) | {"default": row.name == DEFAULTS.get(row.kind)} for row in found]
        return {"name": EVERY, "summary": "what every domain has", "distribution": "unlabeled", "components": rows}
    domain = registry().domain(name)
    rows = [
        asdict(row) | {"default": _is_default(row, default_name(domain, row.kind))}
        for row in registry().components(name)
        if (whole or (row.kind, row.name) not in shared) and not registry().unmet(name, row)
    ]
    return {
        "name": name,
        "summary": domain.summary,
        "sample": domain.sample,
        "distribution": registry().distribution(name),
        "defaults": dict(domain.defaults),
        "components": rows,
    }


def _is_default(row: Component, default: str) -> bool:
    return row.name == default or (row.name.endswith("/*") and default.startswith(row.name[:-1]))


def _broken(name: str) -> dict[str, str]:
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
        summary = row["summary"] + (f" [{row['extra']}]" if row["extra"] else "")
        summary += f"; also: {', '.join(row['aliases'])}" if row["aliases"] else ""
        table.append((f"  {kind}", row["name"] + "*" * row["default"], summary, link(row["paper"])))
    return "\n".join([*lines, columns(table)])


def _markdown(found: dict[str, Any]) -> str:
    lines = [f"### {found['name']}", "", found["summary"], "", "| kind | name | | paper |", "|---|---|---|---|"]
    for row in found["components"]:
        name = f"`{row['name']}`" + " (default)" * row["default"]
        address = link(row["paper"])
        paper = f"[{row['paper']}](https://{address})" if address else ""
        lines.append(f"| {row['kind']} | {name} | {row['summary']} | {paper} |")
    return "\n".join(lines)


def link(paper: str) -> str:
    """Where an arXiv id or a DOI is read."""
    if re.fullmatch(r"\d{4}\.\d{4,5}(v\d+)?", paper):
        return f"arxiv.org/abs/{paper}"
    return f"doi.org/{paper}" if paper.startswith("10.") else paper


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Cells under each other, as wide as they must be."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
