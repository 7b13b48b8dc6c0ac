"""``unlabeled plugin new NAME`` and ``unlabeled plugin check NAME``: for those who write plugins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from unlabeled.cli.flags import Flag, read, render
from unlabeled.config import together
from unlabeled.errors import UsageError, near
from unlabeled.plugins import registry

OUT = Flag("out", str, "the folder to write it in; ./unlabeled-NAME if not given", metavar="FOLDER")
USAGE = "unlabeled plugin new NAME [--out FOLDER] | check NAME"


def plugin_command(words: Sequence[str]) -> int:
    """Write a plugin that works before any edit, or run the conformance checks on one that is installed."""
    if not words or words[0] in ("-h", "--help"):
        print(render(USAGE, "Write a plugin that works before any edit, or check one that is installed.", (OUT,)))
        return 0
    action, *rest = words
    if action not in ("new", "check"):
        raise UsageError(f"unknown command {action!r} of plugin.{near(action, ('new', 'check'))}")
    typed = read(rest, (OUT,) if action == "new" else ())
    if len(typed.words) != 1:
        typed.errors.append(f"one name is needed, found {len(typed.words)}: {USAGE}")
    if typed.errors:
        raise UsageError(together(typed.errors))
    return _new(typed.words[0], typed["out"]) if action == "new" else _check(typed.words[0])


def _new(name: str, out: str | None) -> int:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UsageError(f"plugin name {name!r}: lower-case letters, digits and _, a letter first")
    folder = Path(out or f"unlabeled-{name.replace('_', '-')}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already; choose another with --out")
    from unlabeled.testing.new_plugin import write

    write(name, folder)
    print(
        f"wrote {folder}\nnext: pip install -e {folder} && unlabeled list {name}\n      unlabeled plugin check {name}"
    )
    return 0


def _check(domain: str) -> int:
    registry().domain(domain)
    from unlabeled.testing import check

    failed = False
    for line in check(domain):
        print(line, flush=True)
        failed = failed or str(line).lower().startswith(("fail", "error"))
    return 1 if failed else 0
