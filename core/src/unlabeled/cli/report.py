"""``unlabeled report RUN [RUN ...]``: what runs came to, on one page."""

from collections.abc import Sequence
from pathlib import Path

from unlabeled.runs.folder import RunFolder


def report_command(runs: Sequence[Path], *, out: Path | None = None) -> str:
    """One self-contained HTML page over one run or several.

    Args:
        out: the page to write; RUN/report.html, or report.html for several.
    """
    for run in runs:
        assert RunFolder(run).raw
    target = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    from unlabeled.report import write

    write(runs, target)
    return f"saved {target}"
