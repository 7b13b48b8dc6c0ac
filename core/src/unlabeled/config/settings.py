"""A constructor is the configuration: its keyword-only parameters, read from source without importing it.

``--help`` and the checks of a config must not import torch, and the module of a component does. So the file is found,
parsed, and the signature and the ``Args:`` section of the docstring are taken from the syntax tree. The conformance
kit checks that this reading equals ``inspect.signature``.
"""

import ast
import importlib.util
import math
import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from unlabeled.errors import PluginError, near
from unlabeled.plugins.words import Component

REQUIRED = object()
_TYPES: dict[str, Any] = {
    **{t.__name__: t for t in (int, float, str, bool, tuple, list, dict)},
    "None": None,
    "Literal": Literal,
    "Optional": lambda t: t | None,
    "Path": Path,
}


@dataclass(frozen=True)
class Setting:
    """One user setting of a component: its flag, its help and its YAML key."""

    name: str
    type: Any
    default: Any
    help: str


@dataclass(frozen=True)
class Signature:
    """``wired`` are the positional parameters that core fills in by name; ``settings`` are the user's.

    ``annotations`` of a function are the text of those of its positional parameters, and of its ``return``.
    """

    wired: tuple[str, ...]
    optional: frozenset[str]
    settings: tuple[Setting, ...]
    doc: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Setting:
        return next(s for s in self.settings if s.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.settings)


def signature(component: Component) -> Signature:
    """The signature of what a component points to, without importing its module."""
    module, _, name = component.target.partition(":")
    return read_signature(module, name)


@cache
def read_signature(module: str, name: str) -> Signature:
    """Read class or function ``name`` of ``module`` from its source."""
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _from_class(module, node)
        if isinstance(node, ast.FunctionDef) and node.name == name:
            doc = ast.get_docstring(node) or ""
            return _from_function(f"{module}:{name}", node, arguments_of(doc), doc, 0)
    raise PluginError(f"{module} has no class or function {name!r} of its own; a component names where it is written")


def _from_class(module: str, node: ast.ClassDef) -> Signature:
    """By its own constructor or the nearest that it inherits; what its ``Args:`` leave unsaid, its bases' say."""
    line, doc = list(_lineage(module, node)), ast.get_docstring(node) or ""
    helps: dict[str, str] = {}
    for _, owner in reversed(line):
        helps |= arguments_of(ast.get_docstring(owner) or "")
    for home, owner in line:
        init = next((n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        if init is not None:
            helps |= arguments_of(ast.get_docstring(init) or "")
            return _from_function(f"{home}:{owner.name}", init, helps, doc, 1)
        if any(_is_dataclass(d) for d in owner.decorator_list):
            return _from_fields(home, owner, helps, doc)
    return Signature((), frozenset(), (), doc)


def _lineage(module: str, node: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
    """A class and, nearest first, its bases that are written in the same package or in core: others may be heavy."""
    yield module, node
    for base in node.bases:
        home, _, name = classes_of(module).get(ast.unparse(base), "").partition(":")
        if home.partition(".")[0] in (module.partition(".")[0], "unlabeled"):
            for found in _tree(home).body:
                if isinstance(found, ast.ClassDef) and found.name == name:
                    yield from _lineage(home, found)


@cache
def _tree(module: str) -> ast.Module:
    if module in sys.modules and getattr(sys.modules[module], "__file__", None):
        origin: str | None = sys.modules[module].__file__
    else:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError as error:
            raise PluginError(f"no module {module!r}: {error}") from error
        origin = spec.origin if spec else None
    if origin is None:
        raise PluginError(f"no module {module!r}")
    return ast.parse(Path(origin).read_text(encoding="utf-8"), origin)


def _is_dataclass(node: ast.expr) -> bool:
    node = node.func if isinstance(node, ast.Call) else node
    return isinstance(node, ast.Name) and node.id == "dataclass"


def _from_fields(module: str, node: ast.ClassDef, helps: dict[str, str], doc: str) -> Signature:
    found = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            default = REQUIRED if item.value is None else _literal(module, item.target.id, item.value)
            name = item.target.id
            found.append(Setting(name, _type(module, name, item.annotation), default, helps.get(name, "")))
    return Signature((), frozenset(), tuple(found), doc)


def _from_function(where: str, node: ast.FunctionDef, helps: dict[str, str], doc: str, skip: int) -> Signature:
    positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args)][skip:]
    optional = frozenset(positional[len(positional) - len(node.args.defaults) :]) if node.args.defaults else frozenset()
    found = []
    for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        default = REQUIRED if value is None else _literal(where, arg.arg, value)
        kind = str if arg.annotation is None else _type(where, arg.arg, arg.annotation)
        found.append(Setting(arg.arg, kind, default, helps.get(arg.arg, "")))
    found += _unpacked(where, node.args.kwarg)
    texts = {a.arg: ast.unparse(a.annotation) for a in node.args.args if a.annotation is not None}
    texts |= {"return": ast.unparse(node.returns)} if node.returns is not None else {}
    return Signature(tuple(positional), optional, tuple(found), doc, texts)


def _unpacked(where: str, node: ast.arg | None) -> list[Setting]:
    """Settings that several components share: the keys of ``Shared`` in ``**more: Unpack[Shared]``, a TypedDict.

    None of them must be given; the default of a word is an empty one, that of a choice the first.
    """
    said = "" if node is None or node.annotation is None else ast.unparse(node.annotation)
    if not said.startswith("Unpack["):
        return []
    module = where.partition(":")[0]
    home, _, name = classes_of(module).get(said[len("Unpack[") : -1], "").partition(":")
    found: dict[str, Setting] = {}
    for owner, base in reversed(list(_lineage(home, _class(home, name)))):
        helps = arguments_of(ast.get_docstring(base) or "")
        for item in base.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                key = item.target.id
                kind = _type(owner, key, item.annotation)
                default = get_args(kind)[0] if get_origin(kind) is Literal else kind()
                found[key] = Setting(key, kind, default, helps.get(key, ""))
    return list(found.values())


def _class(module: str, name: str) -> ast.ClassDef:
    return next(node for node in _tree(module).body if isinstance(node, ast.ClassDef) and node.name == name)


@cache
def classes_of(module: str) -> dict[str, str]:
    """Where the classes are written that a module's annotations name: ``{"Finetune": "unlabeled.runs:Finetune"}``."""
    tree = _tree(module)
    found = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return found | {node.name: f"{module}:{node.name}" for node in tree.body if isinstance(node, ast.ClassDef)}


def _literal(where: str, name: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise PluginError(f"{where}: the default of {name!r} must be a literal, found {ast.unparse(node)!r}") from error


def _type(where: str, name: str, node: ast.expr) -> Any:
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    try:
        return eval(text, {"__builtins__": {}}, _TYPES)  # noqa: S307 - names are looked up in _TYPES alone
    except Exception as error:
        raise PluginError(
            f"{where}: {name!r} must be typed by int, float, str, bool, tuple, Literal and None, found {text!r}"
        ) from error


def arguments_of(doc: str) -> dict[str, str]:
    """The entries of a Google-style ``Args:`` section, each on one line."""
    found: dict[str, str] = {}
    name, indent = "", 0
    inside = False
    for line in doc.splitlines():
        if not inside:
            inside = line.strip() == "Args:"
            continue
        if line.strip() and not line.startswith(" "):
            break
        match = re.match(r"^(\s+)(\w+):\s*(.*)$", line)
        if match and (not indent or len(match[1]) == indent):
            indent = indent or len(match[1])
            name = match[2]
            found[name] = match[3].strip()
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


# ---------------------------------------------------------------------------------------------- values


_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def convert(value: Any, kind: Any) -> Any:
    """``value`` as ``kind``, as a YAML or JSON value is meant; ``TypeError`` where it cannot be.

    An int serves as a float, a list as a tuple; a bool is no number, and a string is no number either.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        for option in inner:
            try:
                return convert(value, option)
            except TypeError:
                continue
        raise TypeError
    if kind in (None, type(None)):
        if value is None:
            return None
        raise TypeError
    if origin is Literal:
        if value in inner and type(value) in {type(i) for i in inner}:
            return value
        raise TypeError
    if origin is tuple or kind is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError
        if not inner:
            return tuple(value)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(convert(v, inner[0]) for v in value)
        if len(inner) != len(value):
            raise TypeError
        return tuple(convert(v, t) for v, t in zip(value, inner, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string; a share may be written 1%
        try:
            return _number(float(value[:-1]) / 100 if value.endswith("%") else float(value))
        except ValueError as error:
            raise TypeError from error
    if kind is float and isinstance(value, float):
        return _number(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
        return value
    if kind is Any:
        return value
    raise TypeError


def _number(value: float) -> float:
    if math.isnan(value):  # compares false with every bound, so it would pass all checks of a constructor
        raise TypeError
    return value


def parse(text: str, kind: Any) -> Any:
    """``text`` of a command line as ``kind``; ``TypeError`` where it cannot be. Lists are written ``0.2,1``."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in inner and text.lower() in ("none", "null"):
            return None
        for option in inner:
            try:
                return parse(text, option)
            except TypeError:
                continue
        raise TypeError
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise TypeError
        return _BOOLS[text.lower()]
    if origin is tuple or kind is tuple:
        words = [w for w in re.split(r"[,\s]+", text.strip("[]() ")) if w]
        many = len(inner) == 2 and inner[1] is Ellipsis
        kinds = [inner[0]] * len(words) if many else list(inner) or [str] * len(words)
        if len(kinds) != len(words):
            raise TypeError
        return tuple(parse(w, k) for w, k in zip(words, kinds, strict=True))
    if origin is Literal:
        found = [i for i in inner if str(i) == text]
        if not found:
            raise TypeError
        return found[0]
    if kind is int:
        try:
            return int(text)
        except ValueError as error:
            raise TypeError from error
    return convert(text, kind)


def spell(kind: Any) -> str:
    """A type as a user reads it: ``float``, ``one of a, b``, ``float or none``."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(spell(i) for i in inner)
    if kind in (None, type(None)):
        return "none"
    if origin is Literal:
        return "one of " + ", ".join(str(i) for i in inner)
    if origin is tuple:
        return "list of " + (spell(inner[0]) if inner[-1:] == (...,) else ", ".join(spell(i) for i in inner))
    return getattr(kind, "__name__", str(kind))


def show(value: Any) -> str:
    """A value as a user would type it."""
    if isinstance(value, (tuple, list)):
        return ",".join(show(v) for v in value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "''"


def describe(setting: Setting) -> str:
    """``float (softmax temperature, above 0; default 0.5)``."""
    facts = [setting.help.rstrip(".")] if setting.help else []
    facts += [] if setting.default is REQUIRED else [f"default {show(setting.default)}"]
    return spell(setting.type) + (f" ({'; '.join(facts)})" if facts else "")


def near_settings(name: str, sig: Signature) -> str:
    """``near``, with type, help and default where a single setting is near."""
    if not sig.names:
        return " It has none."
    close = get_close_matches(name.replace("-", "_"), sig.names, n=1, cutoff=0.5)
    if not close:
        return near(name, sig.names)
    return f" Perhaps you meant {close[0]}: {describe(sig[close[0]])}"


def check(where: str, values: Mapping[str, Any], sig: Signature) -> tuple[dict[str, Any], list[str]]:
    """Values for ``sig``'s settings, converted, and every error found, each a line that says what would be right."""
    good: dict[str, Any] = {}
    errors: list[str] = []
    for name, value in values.items():
        if name not in sig.names:
            errors.append(f"{where} has no setting {name!r}.{near_settings(str(name), sig)}")
            continue
        setting = sig[name]
        try:
            good[name] = convert(value, setting.type)
        except TypeError:
            errors.append(f"{where}.{name} is {value!r}; it must be {describe(setting)}")
    for setting in sig.settings:
        if setting.default is REQUIRED and setting.name not in values:
            errors.append(f"{where}.{setting.name} must be given: {describe(setting)}")
    return good, errors
