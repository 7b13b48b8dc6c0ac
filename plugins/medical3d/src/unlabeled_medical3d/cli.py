"""`unlabeled-medical3d ...` is `unlabeled medical3d ...`."""

from __future__ import annotations

import sys

from unlabeled.cli import main as core_main


def main() -> int | None:
    """The console script."""
    return core_main(["medical3d", *sys.argv[1:]])
