"""Plugins: two pluggy hooks, rows of strings, and loading that one broken plugin cannot stop. Imports no torch.

A plugin is a module with hook implementations, named by an entry point of the group ``unlabeled``. It returns rows of
strings; what a row points to is imported when it is first used. Core's own objectives and probes come through the
same hook (``unlabeled.plugins.core``).
"""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from unlabeled.errors import PluginError, UsageError, near
from unlabeled.plugins import words
from unlabeled.plugins.shown import with_settings
from unlabeled.plugins.words import (
    CONTRACT,
    GROUP,
    KINDS,
    ROLES,
    Component,
    Domain,
)


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that did not load, and why."""

    name: str
    distribution: str
    cause: Exception

    def __str__(self) -> str:
        return f"{self.distribution or self.name}: {type(self.cause).__name__}: {self.cause}"


class Registry:
    """Every plugin that is installed, loaded one at a time.

    Args:
        only: names of entry points to load; None loads all.
        files: plugin files to load without packaging (``--plugin ./mine.py``).
        discover: whether installed entry points are looked at; tests switch it off.
    """

    def __init__(self, only: Iterable[str] | None = None, files: Iterable[str | Path] = (), discover: bool = True):
        self._manager = pluggy.PluginManager("unlabeled")
        self._manager.add_hookspecs(words)
        self.domains: dict[str, Domain] = {}
        self.broken: dict[str, Broken] = {}
        self.versions: dict[str, str] = {}
        self.missing: list[str] = []  # asked for by name, and not installed
        self._owner: dict[str, str] = {}  # domain -> plugin
        self._added: dict[str, list[Component]] = {}
        self._adders: list[tuple[str, ModuleType | object]] = []  # core first
        wanted = None if only is None else set(only)

        from unlabeled.plugins import core as own

        self.add("unlabeled", own)
        if discover:
            points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: p.name)
            self.missing = sorted((wanted or set()) - {p.name for p in points})
            for point in points:
                if wanted is None or point.name in wanted:
                    self._try(point)
        for file in files:
            self._load_file(Path(file))

    def _try(self, point: importlib.metadata.EntryPoint) -> None:
        dist = f"{point.dist.name} {point.dist.version}" if point.dist else point.name
        try:
            self.add(point.name, point.load())
            self.versions[point.name] = dist
        except Exception as error:  # noqa: BLE001 - one broken plugin must not stop the others
            self.broken[point.name] = Broken(point.name, dist, error)

    def _load_file(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"--plugin {path}: no such file")
        name = f"unlabeled_plugin_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UsageError(f"--plugin {path}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # so that a target can name the file's own module
        try:
            spec.loader.exec_module(module)
            self.add(path.stem, module)
        except Exception as error:  # asked for by name, so it is no plugin to go on without
            del sys.modules[name]
            raise PluginError(f"--plugin {path}: {type(error).__name__}: {error}") from error
        self.versions[path.stem] = str(path)

    def add(self, name: str, module: ModuleType | object) -> None:
        """Register one plugin; raises what is wrong with it, and then leaves nothing of it behind."""
        if self._manager.has_plugin(name):
            raise PluginError(f"a plugin named {name!r} is loaded already")
        try:
            self._add(name, module)
        except Exception:
            self._remove(name)
            raise

    def _add(self, name: str, module: ModuleType | object) -> None:
        self._manager.register(module, name=name)
        self._manager.check_pending()
        if not self._manager.get_hookcallers(module):
            raise PluginError(f"plugin {name!r} implements no hook: is @hookimpl missing above unlabeled_domain?")
        for domain in self._alone("unlabeled_domain", module)():
            self._check_domain(domain)
            self.domains[domain.name] = domain
            self._owner[domain.name] = name
            self._ask_adders(domain)
        if hasattr(module, "unlabeled_components"):
            self._adders.append((name, module))
            self._added.clear()
            for domain_name in self.domains:
                self.components(domain_name)  # raises now, while this plugin can still be taken out

    def _remove(self, name: str) -> None:
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)
        for domain in [d for d, owner in self._owner.items() if owner == name]:
            del self.domains[domain], self._owner[domain]
        self._adders = [(other, module) for other, module in self._adders if other != name]
        self._added.clear()

    def _alone(self, hook: str, module: ModuleType | object) -> Any:
        """A hook of one plugin: called together, the first that raises would stop the others."""
        return self._manager.subset_hook_caller(hook, [p for p in self._manager.get_plugins() if p is not module])

    def _rows(self, module: ModuleType | object, domain: str) -> list[Component]:
        rows = [row for rows in self._alone("unlabeled_components", module)(domain=domain) for row in rows]
        _refuse_strangers("unlabeled_components", rows)
        return rows

    def _ask_adders(self, domain: Domain) -> None:
        """What other plugins add to a domain that has just come; one that cannot say is taken out, not the domain."""
        rows = [*domain.components, *self._rows(self._adders[0][1], domain.name)]
        for name, module in self._adders[1:]:
            try:
                more = self._rows(module, domain.name)
                _refuse_duplicates(domain.name, [*rows, *more])
                rows += more
            except Exception as error:  # noqa: BLE001 - as above
                self._remove(name)
                self.broken[name] = Broken(name, self.versions.pop(name, name), error)

    def _check_domain(self, domain: Any) -> None:
        if not isinstance(domain, Domain):
            raise PluginError(f"unlabeled_domain returned {type(domain).__name__}; it must return a Domain")
        if domain.contract != CONTRACT:
            raise PluginError(
                f"domain {domain.name!r} is written for contract {domain.contract}, this core has {CONTRACT}; "
                "docs/architecture.md lists what changed"
            )
        if domain.name in self.domains:
            raise PluginError(f"domain {domain.name!r} is brought by plugin {self._owner[domain.name]!r} already")
        _refuse_strangers("Domain.components", domain.components)
        rows = [*domain.components, *self._rows(self._adders[0][1], domain.name)]
        _refuse_duplicates(domain.name, rows)
        for key, name in domain.defaults.items():
            kind = ROLES.get(key, key)
            if not any(c.kind == kind and _matches(c.name, name) for c in rows):
                raise PluginError(f"domain {domain.name!r} has default {kind} {name!r}, which is no component of it")

    # ------------------------------------------------------------------------------------------ questions

    def domain(self, name: str) -> Domain:
        """The domain, or the error of its plugin, or the near names."""
        if name in self.domains:
            return self.domains[name]
        if name in self.broken:
            raise PluginError(f"plugin {name!r} is installed but broken: {self.broken[name]}") from (
                self.broken[name].cause
            )
        hint = near(name, self.domains) if self.domains else " No domain is installed: pip install unlabeled-vision."
        raise UsageError(f"unknown domain {name!r}.{hint}{self._broken_too()}")

    def plugin(self, domain: str) -> ModuleType | object:
        """The plugin that brings a domain."""
        self.domain(domain)
        return self._manager.get_plugin(self._owner[domain])

    def distribution(self, domain: str) -> str:
        """``unlabeled-vision 0.1.0``, or the file that brings a domain."""
        return self.versions.get(self._owner.get(domain, domain), "")

    def components(self, domain: str, kind: str | None = None) -> list[Component]:
        """The components of ``domain`` and those that other plugins add to it, sorted by kind and name."""
        own = self.domains[domain].components if domain in self.domains else ()
        if domain not in self._added:
            found = [row for _, module in self._adders for row in self._rows(module, domain)]
            _refuse_duplicates(domain, [*own, *found])
            self._added[domain] = found
        rows = [row for row in (*own, *self._added[domain]) if kind is None or row.kind == kind]
        return sorted(rows, key=lambda row: (KINDS.index(row.kind), row.name))

    def find(self, domain: str, kind: str, name: str) -> Component:
        """The component of that name; ``domain/name`` is understood too."""
        if name.startswith(f"{domain}/"):
            name = name[len(domain) + 1 :]
        rows = self.components(domain, kind)
        for row in rows:
            if name == row.name or name in row.aliases:
                return row
        for row in rows:
            if _matches(row.name, name):
                return row
        hint = near(name, (row.name for row in rows))
        raise UsageError(f"unknown {kind} {name!r} in domain {domain!r}.{hint}{self._broken_too()}")

    def unmet(self, domain: str, row: Component) -> str:
        """What an objective asks for and no part of ``domain`` gives, in one line; empty where it runs."""
        for kind in dict.fromkeys(word.partition(":")[0] for word in row.asks):
            asked = {word.partition(":")[2] for word in row.asks if word.startswith(f"{kind}:")}
            rows = self.components(domain, kind)
            known = [other for other in rows if other.gives] or rows
            if not any(asked <= {*other.gives} or not other.gives for other in known):
                lacking = asked - {word for other in known for word in other.gives} or asked
                return f"no {kind} of {domain} gives {' and '.join(sorted(lacking))}"
        return ""

    def _broken_too(self) -> str:
        broken = f" Installed but broken: {'; '.join(map(str, self.broken.values()))}." if self.broken else ""
        missing = f" UNLABELED_PLUGINS asks for {', '.join(self.missing)}: not installed." if self.missing else ""
        return broken + missing


def _matches(pattern: str, name: str) -> bool:
    if pattern.endswith("/*"):
        return name.startswith(pattern[:-1]) and len(name) > len(pattern) - 1
    return pattern == name


def _refuse_strangers(source: str, rows: Iterable[Any]) -> None:
    for row in rows:
        if not isinstance(row, Component):
            raise PluginError(f"{source} holds {type(row).__name__} {row!r}; every row must be a Component")


def _refuse_duplicates(domain: str, rows: Iterable[Component]) -> None:
    seen: set[tuple[str, str]] = set()
    for row in rows:
        for name in (row.name, *row.aliases):
            if (row.kind, name) in seen:
                raise PluginError(f"domain {domain!r} has two components {row.kind} {name!r}")
            seen.add((row.kind, name))


def resolve(component: Component) -> Any:
    """Import what a component points to; its class prints its settings. A missing package says what to type."""
    module_name, _, attribute = component.target.partition(":")
    who = f"{component.kind} {component.name!r}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise PluginError(f"{who} points to {component.target!r}, but there is no module {error.name!r}") from error
        install = component.extra or error.name
        raise PluginError(f"{who} needs the package {error.name!r}: pip install '{install}'") from error
    try:
        return with_settings(getattr(module, attribute))
    except AttributeError as error:
        raise PluginError(f"{who} points to {component.target!r}, but {module_name} has no {attribute}") from error


_files: tuple[str, ...] = ()


def use_files(files: Sequence[str]) -> None:
    """Load these plugin files too (``--plugin FILE``), from the next :func:`registry` on."""
    global _files
    if tuple(files) != _files:
        _files = tuple(files)
        registry.cache_clear()


@cache
def registry() -> Registry:
    """The installed plugins. ``UNLABELED_PLUGINS=vision,audio`` restricts which are loaded; empty loads none."""
    wanted = os.environ.get("UNLABELED_PLUGINS")
    only = None if wanted is None else [name.strip() for name in wanted.split(",") if name.strip()]
    return Registry(only, _files)
