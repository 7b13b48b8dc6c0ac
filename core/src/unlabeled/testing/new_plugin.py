"""Writes a new plugin: a distribution that runs, and passes the conformance kit, before any edit. Imports no torch."""

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry

SUFFIX = ".template"  # so that no tool takes a template for Python
RESERVED = ("unlabeled", "list", "recipes", "report", "plugin", "test", "testing", "core")


def write(name: str, folder: str | Path = ".") -> list[Path]:
    """Write the distribution ``unlabeled-NAME`` into ``folder``, and return its files, sorted.

    ``UsageError`` for a name that cannot be one, and where the target folder exists.
    """
    check_name(name)
    root = Path(folder) / f"unlabeled-{name}"
    if root.exists():
        raise UsageError(f"{root} exists already; choose another name or folder")
    written = []
    for source, parts in _walk(files("unlabeled") / "template"):
        target = root.joinpath(*(part.replace("NAME", name).removesuffix(SUFFIX) for part in parts))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text(encoding="utf-8").replace("{{NAME}}", name), encoding="utf-8")
        written.append(target)
    return sorted(written)


def check_name(name: str) -> None:
    """Refuse what cannot be a command, a package and a domain at once."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name.endswith("_") or "__" in name:
        good = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        hint = f"; perhaps {good!r}" if good else ""
        raise UsageError(f"{name!r} cannot name a plugin: use lower-case letters, digits and single '_'{hint}")
    if keyword.iskeyword(name) or name in RESERVED:
        raise UsageError(f"{name!r} cannot name a plugin: it has a meaning of its own; perhaps 'my_{name}'")
    if name in registry().domains:
        raise UsageError(f"a domain {name!r} is installed already; choose another name")


def _walk(folder: Traversable, parts: tuple[str, ...] = ()) -> list[tuple[Traversable, tuple[str, ...]]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            found += _walk(entry, (*parts, entry.name))
        elif entry.name.endswith(SUFFIX):
            found.append((entry, (*parts, entry.name)))
    return found
