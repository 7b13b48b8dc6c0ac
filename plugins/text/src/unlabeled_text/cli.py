"""`unlabeled-text ...` is `unlabeled text ...`."""

from __future__ import annotations

import sys

from unlabeled.cli import main as core_main


def main() -> int | None:
    """The console script."""
    return core_main(["text", *sys.argv[1:]])
