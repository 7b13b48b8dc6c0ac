"""``unlabeled medical3d select``: leave out near-duplicate slices."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.errors import UsageError
from unlabeled_medical3d.select import NearDuplicates, Selected

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Table:
    """Where the slices go.

    Args:
        out: table of the kept slices; a .csv file.
    """

    out: str = "kept.csv"

    def __post_init__(self) -> None:
        if Path(self.out).suffix.lower() != ".csv":
            raise UsageError(f"--out {self.out}: the table is a .csv")


def select(data: Any, table: Table, near: NearDuplicates, run: Pretrained | None = None) -> str:
    """Leave out near-duplicate slices; a table of what is kept.

    Args:
        run: a run whose encoder describes slices, for --by embedding.
    """
    return _write(Path(table.out), near(data, run), near.axis, data.patients)


def _write(out: Path, found: Iterator[Selected], axis: str, patients: Sequence[str]) -> str:
    total = kept = volumes = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("sample", "patient", "axis", "slice"))
        for each in found:
            table.writerows((each.sample, patients[each.sample], axis, number) for number in each.kept)
            total, kept, volumes = total + each.total, kept + len(each.kept), volumes + 1
    share = kept / total if total else 0.0
    return f"saved {out}: {kept:,} of {total:,} slices of {volumes:,} volumes kept ({share:.1%})"
