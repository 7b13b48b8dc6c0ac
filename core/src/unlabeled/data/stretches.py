"""Where a sample begins and ends in its file, in seconds: columns of start, end and duration, however they are spelled.

Columns that count samples are refused: which rate they mean is not said. No torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from unlabeled.data.tables import Table
from unlabeled.errors import UsageError

SPELLINGS = {
    "start": ("start", "begin", "onset", "offset"),
    "end": ("end", "stop"),
    "duration": ("duration", "dur"),
}
TAILS = ("", "_time", "_seconds", "_sec", "_s", "time", "_in_seconds")
COUNTED = ("sample", "samples", "frame", "frames")
AGREE = 0.02  # seconds by which a rounded end and duration may differ


@dataclass(frozen=True)
class Stretch:
    """From ``start`` to ``end`` seconds; None = to the end of the file."""

    start: float = 0.0
    end: float | None = None


def stretches(table: Table, asked: Mapping[str, str]) -> list[Stretch] | None:
    """The stretch of each row; None where no column says one. ``asked`` names columns of start, end or duration."""
    columns = {**_usual(table, asked), **{what: table.find(name) for what, name in asked.items()}}
    if not columns:
        return None
    values = {what: table.numbers(name) for what, name in columns.items()}
    return [_one(table, n, columns, {what: _known(v[n]) for what, v in values.items()}) for n in range(len(table))]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _usual(table: Table, asked: Mapping[str, str]) -> dict[str, str]:
    """The columns of start, end and duration by usual names; ``onset, offset`` are start and end."""
    names = table.folded
    taken = {name.casefold() for name in asked.values()}
    counted = [name for folded, name in names.items() if _is_counted(folded) and folded not in taken]
    if counted and not asked:
        raise UsageError(
            f"{table.path} has the column {counted[0]}, in samples; give start and end in seconds (samples / rate) "
            "instead"
        )
    spellings = dict(SPELLINGS)
    if any("onset" + tail in names for tail in TAILS):
        spellings |= {"start": ("start", "begin", "onset"), "end": ("end", "stop", "offset")}
    found = {}
    for what, words in spellings.items():
        said = [names[word + tail] for word in words for tail in TAILS if word + tail in names]
        if len(said) > 1 and what not in asked:
            raise UsageError(
                f"{table.path} has columns {', '.join(said)}, all of them the {what}: say which with --data.{what}"
            )
        if said and what not in asked:
            found[what] = said[0]
    return found


def _is_counted(column: str) -> bool:
    """Whether it places or measures a stretch in samples: num_frames, start_sample, frame_offset."""
    words = column.replace("-", "_").split("_")
    places = {"num", "n", "duration", *SPELLINGS["start"], *SPELLINGS["end"]}
    return len(words) > 1 and any(w in COUNTED for w in words) and any(w in places for w in words)


def _one(table: Table, row: int, columns: Mapping[str, str], said: Mapping[str, float | None]) -> Stretch:
    start, end, duration = said.get("start") or 0.0, said.get("end"), said.get("duration")
    if end is not None and duration is not None and abs(start + duration - end) > AGREE:
        raise table.wrong(
            row,
            f"from {start:g} s to {end:g} s are not {duration:g} s; "
            f"keep one of the columns {columns['end']} and {columns['duration']}",
        )
    if end is None and duration is not None:
        end = start + duration
    if start < 0 or (end is not None and not end > start):
        raise table.wrong(row, f"from {start:g} s to {end or 0:g} s is no stretch of a file")
    return Stretch(start, end)
