"""The command line. Only the part that a command needs is imported, and never torch for help and listings."""

from unlabeled.cli.main import main, script

__all__ = ["main", "script"]
