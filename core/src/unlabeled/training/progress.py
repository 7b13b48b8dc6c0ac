"""The display of a run: a bar on a terminal, one greppable line per log row otherwise."""

import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO


def duration(seconds: float) -> str:
    """``45s``, ``11m``, ``2h05m``, ``3d04h``."""
    s = max(0, round(seconds))
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m" if s >= 600 else f"{s // 60}m{s % 60:02d}s"
    if s < 86400:
        return f"{s // 3600}h{s % 3600 // 60:02d}m"
    return f"{s // 86400}d{s % 86400 // 3600:02d}h"


def line(step: int, steps: int, row: Mapping[str, Any]) -> str:
    """``step 00100/04800 (2%) | loss 0.412 | rank 37.1 | 212 samples/s | wait 3% | eta 11m``.

    ``row["done"]`` is the share of the run that is done, where a budget of time may end it before its steps.
    """
    width = max(5, len(str(steps)))
    share = int(100 * row.get("done", step / max(1, steps)))
    parts = [f"step {step:0{width}d}/{steps:0{width}d} ({share}%)", f"loss {row['loss']:.4g}"]
    if "rank" in row:
        parts.append(f"rank {row['rank']:.1f}")
    parts += [f"{row['samples_per_second']:.0f} samples/s", f"wait {100 * row['data_wait']:.0f}%"]
    return " | ".join([*parts, f"eta {duration(row['eta_seconds'])}"])


class Display(Protocol):
    """Shows progress; ``steps`` may shrink under a time budget."""

    def advance(self, step: int) -> None: ...
    def show(self, step: int, steps: int, row: Mapping[str, Any]) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Ranks above 0."""

    def advance(self, step: int) -> None: ...
    def show(self, step: int, steps: int, row: Mapping[str, Any]) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class Lines:
    """One line per log row."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def advance(self, step: int) -> None: ...

    def show(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        self.say(line(step, steps, row))

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def close(self) -> None: ...


class Bar:
    """A bar with the figures of the last log row."""

    def __init__(self, stream: TextIO, start: int, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=Console(file=stream), refresh_per_second=4, expand=True)
        self._task = self._bar.add_task("", total=steps, completed=start)
        self._bar.start()

    def advance(self, step: int) -> None:
        self._bar.update(self._task, completed=step)

    def show(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        figures = line(step, steps, row).split(" | ", 1)[1]
        self._bar.update(self._task, completed=step, total=steps, description=figures)

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bar.stop()


def display(rank: int, start: int, steps: int, stream: TextIO | None = None) -> Display:
    """A bar on a terminal, lines elsewhere, nothing on ranks above 0."""
    stream = stream or sys.stdout
    if rank > 0:
        return Silent()
    return Bar(stream, start, steps) if stream.isatty() else Lines(stream)
