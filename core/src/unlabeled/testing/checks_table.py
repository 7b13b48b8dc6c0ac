"""Checks of a plugin's table: what it imports, where its rows point, and how its settings read."""

import contextlib
import inspect
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Optional, Union, Unpack, get_args, get_origin, get_type_hints

from unlabeled.config.settings import REQUIRED, signature
from unlabeled.contract import Data
from unlabeled.errors import PluginError
from unlabeled.plugins.registry import resolve
from unlabeled.plugins.words import Component
from unlabeled.testing.subject import ensure, subject

HEAVY = ("torch", "numpy", "scipy", "pandas", "sklearn", "lightning", "transformers", "timm", "torchvision")
NEEDED = ("data", "views", "clean", "encoder", "objective")  # defaults without which nothing runs
WIRED = {
    "data": ("path", "max_bad"),
    "views": ("spec",),
    "baseline": ("spec",),
    "tokenizer": ("spec", "encoder"),
    "mask": ("spec", "encoder"),
    "encoder": ("spec",),
    "decoder": ("dim", "width"),
    "objective": ("encoder", "decoder", "content", "vocabulary", "samples"),
}
PROGRAM = """
import importlib.util, sys
sys.path[:] = {path!r}
spec = importlib.util.spec_from_file_location({name!r}, {file!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(*sorted(set({heavy!r}) & set(sys.modules)))
"""


def check_plugin_imports_nothing_heavy(domain: str) -> None:
    """Ensure that the plugin module imports no torch: ``unlabeled --help`` and ``list`` import it.

    Troubleshooting: keep ``plugin.py`` to rows of strings, and keep the package's ``__init__.py`` free of imports.
    """
    found: Any = subject(domain).found.plugin(domain)
    module = found if isinstance(found, ModuleType) else sys.modules[type(found).__module__]
    file = getattr(module, "__file__", None)
    ensure(file, "the plugin module comes from a file", module)
    # by its full name, so that the package around it is imported as it is at start-up
    body = PROGRAM.format(path=sys.path, name=module.__name__, file=str(Path(str(file))), heavy=HEAVY)
    package = module.__name__.rpartition(".")[0]
    if package:
        body = body.replace("spec =", f"import {package}\nspec =", 1)
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True)
    ensure(done.returncode == 0, f"{module.__name__} imports in a process of its own", done.stderr.strip()[-500:])
    ensure(not done.stdout.strip(), f"{module.__name__} imports nothing heavy", done.stdout.strip())


def check_every_row_resolves(domain: str) -> None:
    """Ensure that every row of the table points to something callable, and says what it is in one line."""
    row = subject(domain).row
    ensure(row.summary and row.sample, "the domain has a summary and says what a sample is", row)
    for component in row.components:
        who = f"{component.kind} {component.name!r}"
        try:
            target = resolve(component)
        except PluginError as error:
            if component.extra and isinstance(error.__cause__, ModuleNotFoundError):
                continue  # the extra is not installed here, and the message says what to type
            raise AssertionError(f"ensure that {who} resolves: found {error}") from error
        ensure(callable(target), f"{who} points to a class or function", target)
        good = component.summary and "\n" not in component.summary and len(component.summary) <= 80
        ensure(good, f"{who} has a summary of one line, 80 characters at most", component.summary)
    if row.spec:
        spec = resolve(Component(kind="data", name="spec", target=row.spec, summary=""))
        ensure(inspect.isclass(spec), "Domain.spec points to the class of Data.spec", spec)
        ensure(
            isinstance(subject(domain).data.spec, spec), f"Data.spec is a {spec.__name__}", subject(domain).data.spec
        )


def check_defaults_are_complete(domain: str) -> None:
    """Ensure that the domain names the defaults without which nothing runs, and that they make a config."""
    it = subject(domain)
    missing = [key for key in NEEDED if key not in it.row.defaults]
    ensure(not missing, f"Domain.defaults names {', '.join(NEEDED)}", f"no {', '.join(missing)}")
    it.config()
    for recipe in it.recipes:
        config = it.config(recipe)
        ensure(config.summary, f"recipe {recipe!r} has a summary", config.summary)
    ensure(isinstance(it.data, Data), "the default data has spec, labels, classes, test and describe()", it.data)


def check_settings_are_documented(domain: str) -> None:
    """Ensure that every setting has a type, a literal default and an ``Args:`` line, as read without importing.

    Troubleshooting: settings stand after ``*`` in the component's own ``__init__``; help comes from the ``Args:``
    section of the class docstring; types are int, float, str, bool, tuple, Literal and None.
    """
    for component in subject(domain).row.components:
        who = f"{component.kind} {component.name!r}"
        try:
            read = signature(component)
        except PluginError as error:
            raise AssertionError(f"ensure that the settings of {who} can be read: found {error}") from error
        try:
            target = resolve(component)
        except PluginError:
            continue  # check_every_row_resolves says why
        _same_reading(who, read, target)
        for setting in read.settings:
            ensure(setting.help, f"setting {setting.name!r} of {who} has an Args: line", "none")
            # a command may ask for a flag: it runs when it is typed, and no config fills it in
            given = setting.default is not REQUIRED or component.kind == "command"
            ensure(given, f"setting {setting.name!r} of {who} has a default", "none")


def check_wired_names_are_known(domain: str) -> None:
    """Ensure that positional parameters are those that core wires by name; users' settings stand after ``*``."""
    for component in subject(domain).row.components:
        if component.kind not in WIRED:
            continue
        read = signature(component)
        wired = read.wired[1:] if component.name.endswith("/*") else read.wired
        strange = set(wired) - set(WIRED[component.kind]) - read.optional
        who = f"{component.kind} {component.name!r}"
        ensure(not strange, f"{who} takes of positional parameters {', '.join(WIRED[component.kind])} alone", strange)


def check_purposes_are_unique(domain: str) -> None:
    """Ensure that no two purposes of the package's own draws are one number, and all lie between 1024 and 65535.

    Troubleshooting: write them as one ``IntEnum`` named ``Use``; two draws for one purpose are the same numbers.
    """
    taken: dict[int, str] = {}
    for name, value in [member for enum in _uses(domain) for member in enum.__members__.items()]:
        ensure(1024 <= value <= 65535, f"purpose {name} lies between 1024 and 65535", int(value))
        ensure(value not in taken, f"purpose {name} has a number of its own", f"that of {taken.get(value)}")
        taken[int(value)] = name


def _uses(domain: str) -> list[type[IntEnum]]:
    """Every ``Use`` that a module of the domain's packages defines, once all of its components are imported."""
    for component in subject(domain).row.components:
        with contextlib.suppress(PluginError):  # check_every_row_resolves says why
            resolve(component)
    packages = {component.target.partition(":")[0].partition(".")[0] for component in subject(domain).row.components}
    modules = [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] in packages]
    enums = {id(enum): enum for module in modules if isinstance(enum := vars(module).get("Use"), type)}
    return [enum for enum in enums.values() if issubclass(enum, IntEnum)]


def _same_reading(who: str, read: Any, target: Any) -> None:
    """The syntax tree and the living object agree."""
    parameters = inspect.signature(target).parameters.values()
    keyword = [p for p in parameters if p.kind is p.KEYWORD_ONLY] + shared_settings(target)
    wired = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    ensure(read.wired == wired, f"the positional parameters of {who} are read as they are", (read.wired, wired))
    names = tuple(p.name for p in keyword)
    ensure(read.names == names, f"the settings of {who} are read as they are", (read.names, names))
    for setting, parameter in zip(read.settings, keyword, strict=True):
        claim = f"setting {setting.name!r} of {who} "
        empty = parameter.default is parameter.empty
        same = empty if setting.default is REQUIRED else (not empty and setting.default == parameter.default)
        ensure(same, claim + "has the default that its source shows", (setting.default, parameter.default))
        ensure(parameter.annotation is not parameter.empty, claim + "has a type", "none")
        live = _annotation(target, parameter.annotation)
        ensure(setting.type == live, claim + "has the type that its source shows", (setting.type, live))


def shared_settings(target: Any) -> list[inspect.Parameter]:
    """Those of ``**more: Unpack[Shared]``: the default of a word is an empty one, that of a choice the first."""
    found = []
    for parameter in inspect.signature(target).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            continue  # it may name what only a type checker imports
        said = _annotation(target, parameter.annotation)
        if get_origin(said) is Unpack:
            for name, kind in get_type_hints(get_args(said)[0]).items():
                default = get_args(kind)[0] if get_origin(kind) is Literal else kind()
                found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
    return found


def _annotation(target: Any, annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    scope = vars(sys.modules[target.__module__]) | {"Literal": Literal, "Optional": Optional, "Union": Union}
    return eval(annotation, scope)  # noqa: S307 - an annotation of the plugin's own source
