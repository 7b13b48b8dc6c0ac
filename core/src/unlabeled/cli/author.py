"""``unlabeled plugin new NAME`` and ``unlabeled plugin check NAME``: for those who write plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unlabeled.cli.flags import Flag, read, render
from unlabeled.config.run import together
from unlabeled.errors import UsageError, near
from unlabeled.plugins.registry import registry

OUT = Flag("out", str, "the folder to write unlabeled-NAME into; here if not given", metavar="FOLDER")
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
    from unlabeled.testing.new_plugin import write

    parent = Path(out or ".")
    files = write(name, parent)
    root = parent / f"unlabeled-{name}"
    print(f"wrote {len(files)} files into {root}")
    print(f"next: pip install -e {root} && unlabeled list {name}\n      unlabeled plugin check {name}")
    return 0


def _check(domain: str) -> int:
    registry().domain(domain)
    from unlabeled.testing import check

    failed = False
    for outcome in check(domain):
        print(outcome, flush=True)
        failed = failed or not outcome.good
    return 1 if failed else 0
