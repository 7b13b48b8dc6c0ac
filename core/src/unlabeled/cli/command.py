"""A command is a function: what core wires stands first and positional, keyword-only parameters are its flags.

    def choose(run, data, choice: Choice, *, out: Path) -> str

It is read from source, as the constructor of a component is, so that ``--help`` imports nothing. Positional are

    domain    name of the domain
    run       a run folder of the domain, loaded: the word RUN, or the flag --run where the parameter has a default
    runs      paths of run folders, one or more
    data      --data, read as the run reads its own, or as the domain reads a path where there is no run; one that has
              a default is opened only where a flag of data is given
    say       writes a line of progress
    words     every word that is no flag of this command: for one that hands them on to pretrain
    composed  [RECIPE] and the flags of a run, as :func:`unlabeled.cli.compose.compose` reads them

One that is annotated with a class of settings is made from the flags of its constructor, before any folder is opened;
any other is typed as a word. The first paragraph of the docstring heads the help, what stands before ``Args:`` ends it.
A command returns its text, an exit code, or a result: ``text()``, ``to_dict()`` for ``--json``, and ``print(console)``
where a terminal shows it better.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from unlabeled.cli.compose import RUN, Composed, compose
from unlabeled.cli.flags import Flag, Parsed, normal, read, render
from unlabeled.config.run import data_choice, default_name, merge, resolve, together, training_signature
from unlabeled.config.settings import REQUIRED, Setting, arguments_of, classes_of, read_signature, signature
from unlabeled.errors import UsageError
from unlabeled.plugins import registry
from unlabeled.plugins.words import Component
from unlabeled.probes.warned import spoken
from unlabeled.runs.folder import RunFolder
from unlabeled.runs.waiting import waiting

if TYPE_CHECKING:
    from unlabeled.contract import Data
    from unlabeled.runs.pretrained import Pretrained

MOST = 20  # unreadable samples that a command names
HELP = ("-h", "--help")
DATA = "data."  # the key of flags that say how data is read
EVERY_ROW = ("embed", "predict")  # commands that give a row back for each that was put in, duplicates too
WIRED = ("domain", "run", "runs", "data", "say", "words", "composed")


def run(row: Component, domain: str, words: Sequence[str], more: Sequence[Flag] = ()) -> int:
    """Call the command of ``row`` with what was typed, and show what it gives; the exit code.

    ``more`` are flags that depend on the domain: of settings that the source does not know, or better described; one
    that has a key is another spelling of that setting.
    """
    form = Form(row, domain, more)
    given = [word for word in words if word not in HELP]
    composed = compose(domain, given, form.flags) if "composed" in form.wired else None
    if len(given) < len(words):
        print(form.help(composed))
        return 0
    if "data" in form.wired:
        form.flags += data_flags(form, given)
    typed = composed.typed if composed else read(given, form.flags, rest="words" in form.wired)
    errors = [*(composed or typed).errors, *form.missing(typed)]
    if errors:
        raise UsageError(together(errors))
    silent = contextlib.nullcontext(say)  # pretrain has lines of its own
    patient = silent if composed else waiting(say, f"{row.name}: under way, reading and computing")
    with patient as speak, spoken(row.name, speak):
        result = form.call(typed, composed, speak)
    return _show(result, as_json=bool(typed["json"]))


def _show(result: Any, *, as_json: bool) -> int:
    if isinstance(result, int):
        return result
    if as_json:
        print(json.dumps(result.to_dict(), indent=2))
    elif hasattr(result, "print") and sys.stdout.isatty():
        from rich.console import Console

        result.print(Console())
    else:
        print(result if isinstance(result, str) else result.text())
    return 0


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


class Form:
    """A command as its source says it.

    ``words`` are the positional parameters that are typed as words, ``made`` the classes of those that are made from
    flags. The key of a flag is the parameter that its value goes to ("" = the command itself), and its name there.
    """

    def __init__(self, row: Component, domain: str, more: Sequence[Flag] = ()) -> None:
        self.row, self.domain, self.source = row, domain, signature(row)
        self.wired, optional, said = self.source.wired, self.source.optional, self.source.annotations
        homes = classes_of(row.target.partition(":")[0])
        own = [name for name in self.wired if name not in WIRED or (name == "domain" and not domain)]
        self.made = {name: homes[said[name]] for name in own if said.get(name) in homes}
        needs_run = "run" in self.wired and "run" not in optional
        self.words = [n for n in self.wired if (n in own and n not in self.made) or (n == "run" and needs_run)]
        settings = [("", setting) for setting in self.source.settings]
        for name, target in self.made.items():
            settings += [(name, setting) for setting in read_signature(*target.split(":")).settings]
        helps, flags = arguments_of(self.source.doc), []
        if "data" in self.wired:
            text = helps.get("data", "a path or a data set's name") + "; the run's own data if not given" * needs_run
            flags.append(Flag("data", str, text, metavar="PATH|NAME"))
        if said.get("return", "int") not in ("int", "str"):
            flags.append(Flag("json", bool, "print JSON", False))
        if "run" in optional:
            flags.append(Flag("run", str, helps.get("run", "a run folder"), metavar="RUN"))
        group = RUN if "composed" in self.wired else ""
        flags += [_flag(owner, setting, group) for owner, setting in settings]
        spelled = {flag.key for flag in more if flag.key}
        flags = [flag for flag in flags if flag.key not in spelled]
        flags += [replace(flag, key=flag.key or ("", flag.name), group=group) for flag in more]
        self.flags = list({flag.name: flag for flag in flags}.values())
        self.required = {normal(setting.name) for _, setting in settings if setting.default is REQUIRED}
        self.required |= {"data"} if "data" in self.wired and not needs_run else set()

    @property
    def usage(self) -> str:
        """``unlabeled toy embed RUN [--data PATH|NAME] --out PATH [flags]``"""
        words = [f"[{word.upper()}]" if word in self.source.optional else word.upper() for word in self.words]
        if "composed" in self.wired:
            words += ["[RECIPE]", "[--data PATH|NAME]"]
        words += ["RUN [RUN ...]"] * ("runs" in self.wired)
        for flag in self.flags:
            if flag.name in self.required or flag.name in ("data", "out"):
                words.append(flag.usage if flag.name in self.required else f"[{flag.usage}]")
        last = "[flags of pretrain]" if "words" in self.wired else "[flags]"
        return " ".join(["unlabeled", *[self.domain] * bool(self.domain), self.row.name, *words, last])

    def help(self, composed: Composed | None) -> str:
        """What ``--help`` prints."""
        summary, _, notes = self.source.doc.partition("Args:")[0].partition("\n\n")
        flags = [composed.flags[0], *self.flags, *composed.flags[1:]] if composed else self.flags
        return render(self.usage, summary, flags, notes=notes.strip())

    def missing(self, typed: Parsed) -> list[str]:
        """What must be given and is not, and words that are too many."""
        known = {*typed.values, *(error.split()[0].lstrip("-") for error in typed.errors)}
        errors = [f"--{name} is missing: {self.usage}" for name in sorted(self.required - known)]
        needed = [word for word in self.words if word not in self.source.optional] + ["run"] * ("runs" in self.wired)
        if len(typed.words) < len(needed):
            name = needed[len(typed.words)]
            errors.append(f"a {'run folder' if name == 'run' else name} is missing: {self.usage}")
        elif not {"runs", "words", "composed"} & {*self.wired} and len(typed.words) > len(self.words):
            errors.append(f"unexpected {' '.join(map(repr, typed.words[len(self.words) :]))}: {self.usage}")
        return errors

    def call(self, typed: Parsed, composed: Composed | None, say: Callable[[str], None]) -> Any:
        """The result of the command."""
        given: dict[str, dict[str, Any]] = {owner: {} for owner in ("", *self.made)}
        for flag in self.flags:
            if flag.key and flag.key[0] in given and flag.name in typed.values:
                given[flag.key[0]][flag.key[1]] = typed[flag.name]
        live: dict[str, Any] = {name: self._make(target, given[name]) for name, target in self.made.items()}
        live |= {"say": say, "words": tuple(typed.words), "composed": composed, "runs": [*map(Path, typed.words)]}
        live |= {"domain": self.domain} if self.domain else {}
        live |= dict(zip(self.words, typed.words, strict=False))
        if folder := live.get("run", typed["run"]):
            live["run"] = open_run(self.domain, folder, say)
        if "data" in self.wired and self._asked(typed):
            settings = {flag.key[1]: typed[flag.name] for flag in self.flags if flag.key[:1] == (DATA,)
                        and flag.name in typed.values}  # fmt: skip
            every = self.row.name in EVERY_ROW
            live["data"] = open_data(self.domain, typed["data"], live.get("run"), settings, every=every)
        result = registry.resolve(self.row)(**{name: live[name] for name in self.wired if name in live}, **given[""])
        for line in unreadable(live.get("data")):
            say(line)
        return result

    def _asked(self, typed: Parsed) -> bool:
        """Whether data is to be opened."""
        own = any(flag.name in typed.values for flag in self.flags if flag.key[:1] == (DATA,) or flag.name == "data")
        return own or "data" not in self.source.optional

    def _make(self, target: str, settings: dict[str, Any]) -> Any:
        module, _, name = target.partition(":")
        try:
            return getattr(import_module(module), name)(**settings)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"{self.row.name}: {error}") from error


def _flag(owner: str, setting: Setting, group: str) -> Flag:
    """A setting as a flag; where None is its default, that is what no flag means, and nothing to type."""
    kind, default = setting.type, setting.default
    if default is None:
        (kind,), default = (option for option in get_args(kind) if option is not type(None)), REQUIRED
    return Flag(normal(setting.name), kind, setting.help, default, (owner, setting.name), group)


def data_flags(form: Form, words: Sequence[str]) -> list[Flag]:
    """``--data.*`` of the component that will read the data, and ``--max-bad``, as pretrain has them."""
    rows = registry.registry().components(form.domain, "data")
    every = [flag for row in rows for flag in _data_flags(row)]
    known = {flag.name for flag in form.flags}
    found = read(words, [*form.flags, *every], rest=True)
    folder = found.words[0] if form.words[:1] == ["run"] and found.words else found["run"]
    own: dict[str, Any] = {}
    if folder and RunFolder(folder).is_run:
        own = RunFolder(folder).raw.get("data") or {}
    try:
        part = merge({"data": own}, {"data": data_choice(form.domain, found["data"], own)} if found["data"] else {},
                     form.domain)["data"]  # fmt: skip
        name = part.get("name") or default_name(registry.registry().domain(form.domain), "data", part.get("path"))
        chosen = _data_flags(registry.registry().find(form.domain, "data", name)) if name else []
    except UsageError:  # told when the data is opened
        chosen = every
    most = training_signature()["max_bad"]
    chosen = [*chosen, Flag("max-bad", most.type, most.help, most.default, (DATA, "max_bad"), "data")]
    return [flag for flag in {flag.name: flag for flag in chosen}.values() if flag.name not in known]


def _data_flags(row: Component) -> list[Flag]:
    return [Flag(normal(f"data.{s.name}"), s.type, s.help, s.default, (DATA, s.name), f"data {row.name}")
            for s in signature(row).settings]  # fmt: skip


def unreadable(data: Any) -> list[str]:
    """Each sample of ``data`` that could not be read, and why."""
    bad = getattr(data, "bad", None)
    if not bad or not hasattr(bad, "items"):
        return []
    lines = [f"left out {name}: {reason}" for name, reason in list(bad.items())[:MOST]]
    return [f"{len(bad):,} of the samples cannot be read and are left out:", *lines,
            *([f"and {len(bad) - MOST:,} more"] if len(bad) > MOST else [])]  # fmt: skip


def open_run(domain: str, folder: str, say: Callable[[str], None] = say) -> Pretrained:
    """A run of this domain."""
    from unlabeled.runs.pretrained import load

    found = load(folder)
    if found.domain != domain:
        raise UsageError(f"{folder} is a run of domain {found.domain!r}: unlabeled {found.domain} ... {folder}")
    if interrupted := RunFolder(folder).interrupted():
        say(interrupted)
    return found


def open_data(
    domain: str,
    source: str | None,
    run: Pretrained | None,
    settings: Mapping[str, Any] | None = None,
    *,
    every: bool = False,
) -> Data:
    """Data for a run, or as the domain reads it, with ``settings`` of its component and ``max_bad`` on top."""
    from unlabeled.build import build_data
    from unlabeled.runs.pretrained import open_data as read_for

    given = dict(settings or {})
    if run is None:
        most = {"training": {"max_bad": given.pop("max_bad")}} if "max_bad" in given else {}
        return build_data(resolve({"data": data_choice(domain, str(source)) | given, **most}, domain))
    data: Data = read_for(domain, source, run.config, run.spec, given, every=every)
    return data
