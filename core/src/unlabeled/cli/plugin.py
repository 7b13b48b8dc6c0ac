"""``unlabeled plugin new NAME`` and ``unlabeled plugin check NAME``: for those who write plugins."""

from pathlib import Path

from unlabeled.errors import UsageError, near
from unlabeled.plugins.registry import registry


def plugin_command(action: str, name: str, *, out: Path | None = None) -> int:
    """Write a plugin that works before any edit, or check one that is installed: new NAME, check NAME.

    Args:
        out: of new, the folder to write unlabeled-NAME into; here if not given.
    """
    if action == "new":
        return _new(name, out or Path())
    if action != "check":
        raise UsageError(f"unknown command {action!r} of plugin.{near(action, ('new', 'check'))}")
    if out is not None:
        raise UsageError("plugin check writes nothing: it has no --out")
    return _check(name)


def _new(name: str, parent: Path) -> int:
    from unlabeled.testing.new_plugin import write

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
