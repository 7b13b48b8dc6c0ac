"""The report of runs: ``write(runs, out)`` makes one self-contained HTML page."""

from unlabeled.report.page import write

__all__ = ["write"]
