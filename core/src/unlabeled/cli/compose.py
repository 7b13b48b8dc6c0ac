"""From words to a run's configuration: components first, then the flags of just those. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlabeled.cli.flags import Flag, Parsed, normal, read
from unlabeled.config.run import (
    PARTS,
    REQUIRED_PARTS,
    RunConfig,
    Training,
    data_choice,
    default_name,
    examine,
    merge,
    together,
    training_signature,
)
from unlabeled.config.settings import REQUIRED, Setting, Signature, signature
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import Domain
from unlabeled.runs.folder import base

KINDS = tuple(kind for kind in PARTS if kind != "data")
OPTIONAL = tuple(kind for kind in PARTS if kind not in REQUIRED_PARTS)
RUN = "run"
FIRST = ("epochs", "steps", "minutes", "batch_size")  # stand first among the training flags, with --lr after them


@dataclass
class Composed:
    """What a command line asks for.

    Args:
        raw: the merged mapping.
        config: what it means; None where there are errors.
        flags: every flag of this composition.
        typed: what was typed.
        errors: every mistake.
        chosen: kinds that flags name or set.
    """

    raw: dict[str, Any]
    config: RunConfig | None
    flags: list[Flag]
    typed: Parsed
    errors: list[str]
    chosen: frozenset[str] = field(default_factory=frozenset)

    def checked(self) -> RunConfig:
        """The configuration, or every mistake in one error."""
        if self.errors or self.config is None:
            raise UsageError(together(self.errors))
        return self.config


def compose(domain: str, words: Sequence[str], own: Sequence[Flag]) -> Composed:
    """Read ``[RECIPE] flags`` for a command of ``domain`` that has flags of its ``own``."""
    recipe, words = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    resume = _word(words, "out") if any(normal(w) in ("--resume", "--resume=true") for w in words) else None
    errors: list[str] = []
    raw: dict[str, Any] = {}
    try:
        raw = base(domain, recipe, _word(words, "config"), None if resume is None else Path(resume))
    except UsageError as error:
        errors.append(str(error))
    over: dict[str, Any] = {kind: _named(kind, w) for kind in KINDS if (w := _word(words, kind)) is not None}
    data = _word(words, "data")
    if data is not None:
        try:
            over["data"] = data_choice(domain, data, raw.get("data"))
        except UsageError as error:
            errors.append(str(error))
    raw = merge(raw, over, domain)
    flags, unknown = flags_of(domain, raw)
    typed = read(words, [*own, *flags], skip=[f"{kind}." for kind in unknown])
    if typed.words:
        hint = "the recipe stands right after the command" if recipe is None else "one recipe, then flags"
        typed.errors.append(f"unexpected {' '.join(map(repr, typed.words))}: {hint}")
    by_name = {flag.name: flag for flag in flags}
    for name, value in typed.values.items():
        if name in by_name and len(by_name[name].key) == 2:
            kind, setting = by_name[name].key
            over.setdefault(kind, {})
            if isinstance(over[kind], dict):
                over[kind][setting] = value
    raw = merge(raw, over, domain)
    config, wrong = examine(raw, domain)
    return Composed(raw, config, flags, typed, errors + typed.errors + wrong, frozenset(over))


def _word(words: Sequence[str], name: str) -> str | None:
    """The value of ``--name``, wherever it stands; the last one counts."""
    found = None
    for at, word in enumerate(words):
        flag, equals, text = word.partition("=")
        if normal(flag) != f"--{name}":
            continue
        if equals:
            found = text
        elif at + 1 < len(words) and not words[at + 1].startswith("--"):
            found = words[at + 1]
    return found


def _named(kind: str, word: str) -> dict[str, Any] | None:
    return None if kind in OPTIONAL and word.lower() == "none" else {"name": word}


# ---------------------------------------------------------------------------------------------- the flags


def flags_of(domain: str, raw: Mapping[str, Any]) -> tuple[list[Flag], list[str]]:
    """The flags of the components that ``raw`` chooses, and the kinds whose component is unknown."""
    row = registry().domain(domain)
    flags = [
        Flag("data", str, f"a path, or one of {_names(domain, 'data')}", group=RUN, metavar="PATH|NAME"),
        Flag("config", str, "a run's config.yaml to repeat; flags go on top", group=RUN, metavar="FILE"),
        *(_selector(domain, kind, raw) for kind in KINDS),
    ]
    unknown = []
    for kind in PARTS:
        part = raw.get(kind, {})
        if part is None and kind in OPTIONAL:
            continue
        part = part if isinstance(part, Mapping) else {}
        name = part.get("name") or default_name(row, kind, part.get("path"))
        if not name:
            continue
        try:
            component = registry().find(domain, kind, str(name))
            flags += _settings(kind, f"{kind} {name} ({component.summary})", signature(component), part)
        except UsageError:
            unknown.append(kind)
    return [*flags, *_training(row, raw)], unknown


def _names(domain: str, kind: str) -> str:
    rows = registry().components(domain, kind)
    return ", ".join(row.name for row in rows if not registry().unmet(domain, row)) or "none installed"


def _selector(domain: str, kind: str, raw: Mapping[str, Any]) -> Flag:
    part = raw.get(kind, {})
    given = part.get("name") if isinstance(part, Mapping) else part
    name = given or (default_name(registry().domain(domain), kind) if part is not None else "none")
    none = " or none" if kind in OPTIONAL else ""
    return Flag(kind, str, f"{_names(domain, kind)}{none}", name or REQUIRED, group="components", metavar="NAME")


def _settings(kind: str, group: str, sig: Signature, given: Mapping[str, Any]) -> list[Flag]:
    return [_flag(s, given, (kind, s.name), f"{kind}.{s.name}", group) for s in sig.settings]


def _flag(s: Setting, given: Mapping[str, Any], key: tuple[str, ...], name: str, group: str) -> Flag:
    return Flag(normal(name), s.type, s.help, given.get(s.name, s.default), key, group)


def _training(row: Domain, raw: Mapping[str, Any]) -> list[Flag]:
    given = raw.get("training")
    given = {**row.training, **(given if isinstance(given, Mapping) else {})}
    part = raw.get("optimizer")
    part = part if isinstance(part, Mapping) else {}
    sig = training_signature()
    group = "training, the same in every domain"
    rest = [name for name in Training.__dataclass_fields__ if name not in FIRST]
    flags = [_flag(sig[name], given, ("training", name), name, group) for name in (*FIRST, *rest)]
    rate = part.get("lr", REQUIRED)
    flags.insert(len(FIRST), Flag("lr", float, "short for --optimizer.lr", rate, ("optimizer", "lr"), group))
    caching = "short for --micro-batch: gradient caching is done for any objective that couples the batch"
    flags.append(Flag("objective.micro-batch", int, caching, REQUIRED, ("training", "micro_batch"), group))
    return flags
