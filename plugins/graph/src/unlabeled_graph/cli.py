"""`unlabeled-graph ...` is `unlabeled graph ...`."""

from __future__ import annotations

import sys

from unlabeled.cli import main as core_main


def main() -> int | None:
    """The console script."""
    return core_main(["graph", *sys.argv[1:]])
