"""Flags from settings: parsing that lists every mistake at once, and help. Imports nothing heavy.

Not tyro: building its parser for the some 80 flags of a run takes 210 ms of CPU (85 import, 125 parser; measured with
tyro 1.0.17) where this takes 22, with reading all settings from source; and tyro stops at the first kind of error.
"""

import re
import shutil
import textwrap
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin

from unlabeled.config.settings import REQUIRED, Setting, describe, parse, show


@dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        name: as typed, without dashes: ``batch-size``, ``objective.temperature``.
        type: what its value is; bool needs no value.
        help: one line.
        default: shown in the help; REQUIRED shows none.
        key: where its value goes: ``("objective", "temperature")``.
        group: heading of the help that it stands under.
        metavar: how its value is shown; worked out from the type where empty.
    """

    name: str
    type: Any = str
    help: str = ""
    default: Any = REQUIRED
    key: tuple[str, ...] = ()
    group: str = ""
    metavar: str = ""

    @property
    def value(self) -> str:
        return self.metavar or metavar(self.type)

    @property
    def usage(self) -> str:
        no = "[no-]" if self.type is bool and self.default is True else ""
        return f"--{no}{self.name} {self.value}".rstrip()

    def describe(self) -> str:
        """``--mask.ratio FLOAT (fraction hidden; default 0.6)``."""
        facts = [self.help.rstrip(".")] if self.help else []
        facts += [] if self.default is REQUIRED else [f"default {show(self.default)}"]
        return self.usage + (f" ({'; '.join(facts)})" if facts else "")


@dataclass
class Parsed:
    """What was typed: values by flag name, words without a flag, and every mistake."""

    values: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)


def metavar(kind: Any) -> str:
    """``FLOAT``, ``{a,b}``, ``INT|none``, ``FLOAT,FLOAT``; nothing for bool."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is bool:
        return ""
    if origin in (Union, types.UnionType):
        return "|".join("none" if i is type(None) else metavar(i) or "BOOL" for i in inner)
    if origin is Literal:
        return "{" + ",".join(str(i) for i in inner) + "}"
    if origin is tuple:
        return f"{metavar(inner[0])},..." if inner[-1] is Ellipsis else ",".join(metavar(i) for i in inner)
    return str(getattr(kind, "__name__", kind)).upper()


def normal(word: str) -> str:
    """A flag as typed, in the spelling of :class:`Flag`: hyphens for underscores."""
    return word.replace("_", "-")


def read(words: Sequence[str], flags: Iterable[Flag], *, skip: Sequence[str] = (), rest: bool = False) -> Parsed:
    """Parse ``words``. Flags whose name begins with one of ``skip`` are passed over with their values.

    ``rest``: flags that are none of these are words, with their values, for another command to read.
    """
    table = {normal(flag.name): flag for flag in flags}
    out = Parsed()
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not _is_flag(word):
            out.words.append(word)
            continue
        name, equals, text = word.lstrip("-").partition("=")
        name = normal(name)
        flag, negated = table.get(name), False
        if flag is None and name.startswith("no-") and table.get(name[3:], Flag("")).type is bool:
            flag, negated = table[name[3:]], True
        if flag is None:
            given = [text] if equals else _values(queue, many=True)
            if rest:
                out.words += [word] if equals else [word, *given]
            elif not name.startswith(tuple(skip)):
                out.errors.append(unknown(name, table.values(), given))
            continue
        if negated:
            out.values[flag.name] = False
        else:
            _take(flag, [text] if equals else _following(flag, queue), out)
    return out


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not re.fullmatch(r"-(\d|\.\d|inf).*|-", word)


def _values(rest: list[str], *, many: bool) -> list[str]:
    taken: list[str] = []
    while rest and not _is_flag(rest[0]) and (many or not taken):
        taken.append(rest.pop(0))
    return taken


def _following(flag: Flag, rest: list[str]) -> list[str]:
    if flag.type is bool:
        return [rest.pop(0)] if rest and rest[0].lower() in ("true", "false") else ["true"]
    return _values(rest, many=_is_list(flag.type))


def _is_list(kind: Any) -> bool:
    return kind is tuple or get_origin(kind) is tuple or any(_is_list(i) for i in get_args(kind))


def _take(flag: Flag, texts: list[str], out: Parsed) -> None:
    if not texts:
        out.errors.append(f"--{flag.name} needs a value: {flag.describe()}")
        return
    try:
        out.values[flag.name] = parse(",".join(texts), flag.type)
    except TypeError:
        setting = Setting(flag.name, flag.type, flag.default, flag.help)
        out.errors.append(f"--{flag.name} is {' '.join(texts)!r}; it must be {describe(setting)}")


def unknown(name: str, flags: Iterable[Flag], given: Sequence[str] = ()) -> str:
    """What to say of a flag that does not exist: the nearest ones, with type, help and default."""
    table = {flag.name: flag for flag in flags}
    owner, dot, last = name.partition(".")
    # a setting of the same component is meant rather than one of another, and a last part alone means its owner
    siblings = {n.partition(".")[2]: n for n in table if dot and n.startswith(f"{owner}.")}
    near = [siblings[n] for n in get_close_matches(last, siblings, n=1, cutoff=0.6)]
    near = near or ([] if siblings else get_close_matches(name, table, n=1, cutoff=0.7))
    near = near or [n for n in table if n.partition(".")[2] == name][:3]
    line = f"unknown flag --{name}."
    if near:
        return f"{line} Perhaps you meant {' or '.join(table[n].describe() for n in near)}"
    if siblings:
        return f"{line} Known there: {', '.join('--' + n for n in siblings.values())}"
    return f"{line} See --help"


# ---------------------------------------------------------------------------------------------- help


def render(usage: str, summary: str, flags: Iterable[Flag], *, notes: str = "") -> str:
    """The help of one command, flags under the headings of their groups."""
    width = max(60, min(120, shutil.get_terminal_size((100, 24)).columns))
    lines = [f"usage: {usage}", "", *textwrap.wrap(summary, width)]
    groups: dict[str, list[Flag]] = {}
    for flag in flags:
        groups.setdefault(flag.group, []).append(flag)
    for group, members in groups.items():
        lines += ["", (group or "flags") + ":"]
        for flag in members:
            lines += _entry(flag, width)
    if notes:
        lines += ["", *notes.splitlines()]
    return "\n".join(lines)


def _entry(flag: Flag, width: int, column: int = 36) -> list[str]:
    facts = [] if flag.default in (REQUIRED, False, ()) else [f"[{show(flag.default)}]"]
    text = " ".join([flag.help.rstrip("."), *facts])
    body = textwrap.wrap(text, width - column) or [""]
    head = f"  {flag.usage}"
    if len(head) > column - 2:
        return [head, *(" " * column + line for line in body)]
    return [f"{head:<{column}}{body[0]}", *(" " * column + line for line in body[1:])]
