"""A message names only flags that exist for a command which can say it, and commands read data by the same flags.

Where a message comes from says who can say it: a file of ``cli/`` or ``commands/`` its own command, readers of data
every command that reads data, everything else the commands that build a run. A message that names another command
(``pretrain --resume``) speaks of that command's flags.
"""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from unlabeled.cli.command import Form, data_flags
from unlabeled.cli.compose import flags_of
from unlabeled.cli.main import GLOBAL, IN_DOMAIN
from unlabeled.config.run import PARTS
from unlabeled.config.settings import signature
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import Component

ROOT = Path(__file__).parents[1]
DOMAINS = sorted(path.name for path in ROOT.glob("plugins/*"))
EVERYWHERE = {"help", "version", "plugin"}
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)?)(?![\w{-]|\.\{)")
BUILD = ("pretrain", "preview")  # commands that compose a run from flags
# who says what stands in a room of core; a room that is not here speaks of the flags of a run
SAY = {"probes/embedding.py": ("embed",), "probes/": ("probe",), "runs/features.py": ("embed", "predict"),
       "runs/finetune": ("finetune",), "runs/tuning.py": ("finetune",), "runs/tuned.py": ("finetune", "predict"),
       "runs/task.py": ("finetune",), "runs/kept.py": ("probe",),
       "runs/predict.py": ("predict",), "runs/export.py": ("export",), "cli/command.py": ("embed",)}  # fmt: skip


def commands(domain):
    """Each command of a domain, with its form."""
    for name in IN_DOMAIN:
        module = import_module(f"unlabeled.cli.{name}")
        row = Component(kind="command", name=name, target=f"{module.__name__}:{name}_command", summary="")
        yield name, Form(row, domain, module.flags(domain) if hasattr(module, "flags") else ())
    for row in registry().components(domain, "command"):
        yield row.name, Form(row, domain)


@cache
def flags(domain):
    """``{command: its flags}``, with the settings of every component that it may read or build."""
    found = {}
    for name, form in commands(domain):
        known = {flag.name for flag in form.flags} | EVERYWHERE
        if "data" in form.wired:
            known |= {flag.name for flag in data_flags(form, [])} | settings(domain, ("data",))
        if {"composed", "words"} & {*form.wired}:
            known |= {flag.name for flag in flags_of(domain, {})[0]} | settings(domain, PARTS)
        found[name] = known
    return found


def settings(domain, kinds):
    rows = [row for kind in kinds for row in registry().components(domain, kind)]
    return {f"{row.kind}.{s.name}".replace("_", "-") for row in rows for s in signature(row).settings}


def messages(path):
    """The strings of a source that are no docstrings; one with fields in it is one string."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    joined = [n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr)]
    inside = {id(part) for n in joined for part in n.values}
    for node in joined:
        yield "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inside:
            yield node.value


def sayers(path, room):
    """Commands that can say what a source says; empty = it speaks of commands by name."""
    if room in ("cli/main.py", "runs/card.py"):
        return ()
    if room.startswith("cli/") and path.stem in (*IN_DOMAIN, *GLOBAL):
        return (path.stem,)
    return next((names for start, names in SAY.items() if room.startswith(start)), BUILD)


def wrong(domain, path, room):
    known = flags(domain)
    reading = {name for name, form in commands(domain) if "data" in form.wired}
    own = {row.name for row in registry().components(domain, "command")}
    for text in messages(path):
        for match in FLAG.finditer(text):
            flag, before = match[1], re.findall(r"\w+", text[: match.start()])[-2:]
            named = [word for word in before if word in IN_DOMAIN]
            if room.startswith("data/"):
                sure = all(flag in known[name] for name in reading)
            elif named:
                sure = flag in known[named[-1]]
            elif room.startswith(("commands", "ops", "select")):
                sure = any(flag in known[name] for name in (*own, *BUILD))
            elif path.stem in GLOBAL and room.startswith("cli/"):
                sure = True  # commands of no domain: their own tests call them
            else:
                sure = any(flag in known[name] for name in sayers(path, room)) if sayers(path, room) else True
            if not sure:
                yield f"{path.name}: --{flag} in {text!r}"


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_message_names_a_flag_of_a_command_that_says_it(domain):
    package = ROOT / "plugins" / domain
    faults = [
        fault for path in sorted(package.glob("src/**/*.py"))
        for fault in wrong(domain, path, path.relative_to(package / "src" / f"unlabeled_{domain}").as_posix())
    ]  # fmt: skip
    assert not faults, "\n".join(faults)


def test_a_message_of_core_names_a_flag_in_some_domain():
    package = ROOT / "core" / "src" / "unlabeled"
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).as_posix()
        if not room.startswith(("testing/", "template/")):
            faults = [set(wrong(domain, path, room)) for domain in DOMAINS]
            assert not set.intersection(*faults), "\n".join(set.intersection(*faults))


@pytest.mark.parametrize("domain", DOMAINS)
def test_commands_read_data_by_the_same_flags(domain):
    found = {name: form for name, form in commands(domain) if {"data", "composed"} & {*form.wired}}
    assert {"pretrain", "preview", "probe", "embed", "finetune", "predict", "export"} <= found.keys()
    for row in registry().components(domain, "data"):
        right = {"max-bad", "data", *(f"data.{s.name}".replace("_", "-") for s in signature(row).settings)}
        for name, form in found.items():
            if "data" in form.wired:
                known = {f.name for f in form.flags} | {f.name for f in data_flags(form, ["--data", row.name])}
            else:
                known = {f.name for f in [*form.flags, *flags_of(domain, {"data": {"name": row.name}})[0]]}
            assert right <= known, (name, row.name, right - known)
