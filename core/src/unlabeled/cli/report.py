"""``unlabeled report RUN [RUN ...]``: what runs came to, on one page."""

from collections.abc import Sequence
from pathlib import Path

from unlabeled.runs.folder import RunFolder
from unlabeled.runs.waiting import Say


def report_command(runs: Sequence[Path], say: Say, *, out: Path | None = None) -> str:
    """One self-contained HTML page over one run or several.

    Args:
        out: the page to write; RUN/report.html, or report.html for several.
    """
    for run in map(RunFolder, runs):
        assert run.raw
        if interrupted := run.interrupted():
            say(interrupted)
    target = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    from unlabeled.report import write

    write(runs, target)
    return f"saved {target}"
