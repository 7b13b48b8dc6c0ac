"""A live part from its name in the table: settings as keywords, what core wires by name. Imports no torch itself."""

import inspect
from collections.abc import Mapping
from typing import Any

from unlabeled.errors import PluginError, UsageError
from unlabeled.plugins.registry import registry, resolve
from unlabeled.plugins.words import Component


def construct(component: Component, settings: Mapping[str, Any], wired: Mapping[str, Any], *, name: str = "") -> Any:
    """Call a component's constructor: positional parameters from ``wired`` by name, settings as keywords.

    ``name`` is how the user wrote a ``family/*`` component; what stands for the star is the first positional.
    A ``ValueError`` of the constructor is a user's mistake in a setting.
    """
    target = resolve(component)
    args = []
    for number, parameter in enumerate(inspect.signature(target).parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            continue
        if number == 0 and component.name.endswith("/*"):
            args.append(name.removeprefix(component.name[:-1]))
        elif parameter.name in wired:
            args.append(wired[parameter.name])
        elif parameter.default is parameter.empty:
            raise PluginError(
                f"{component.kind} {component.name!r} asks for {parameter.name!r}; "
                f"core wires {', '.join(sorted(wired)) or 'nothing'} here, and settings stand after '*'"
            )
        else:
            args.append(parameter.default)
    try:
        return target(*args, **settings)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{component.kind} {name or component.name}: {error}") from error


def make(domain: str, kind: str, name: str, settings: Mapping[str, Any], wired: Mapping[str, Any]) -> Any:
    """The live component of that name: settings as keywords, what core wires by name."""
    return construct(registry().find(domain, kind, name), settings, wired, name=name)
