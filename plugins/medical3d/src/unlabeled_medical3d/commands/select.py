"""``unlabeled medical3d select``: leave out near-duplicate slices."""

from __future__ import annotations

import csv
from collections.abc import Iterator
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
        out: manifest of the volumes with their kept slices, which --data reads; a .csv file.
    """

    out: str = "kept.csv"

    def __post_init__(self) -> None:
        if Path(self.out).suffix.lower() != ".csv":
            raise UsageError(f"--out {self.out}: the table is a .csv")


def select(data: Any, table: Table, near: NearDuplicates, run: Pretrained | None = None) -> str:
    """Leave out near-duplicate slices; a manifest of what is kept, for --data.

    Args:
        run: a run whose encoder describes slices, for --by embedding.
    """
    return _write(Path(table.out), near(data, run), near.axis, data)


def _write(out: Path, found: Iterator[Selected], axis: str, data: Any) -> str:
    """A row a volume: its files, what is known of it, and its kept slices on the grid that they were told apart on."""
    total = kept = volumes = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    spacing = " ".join(f"{mm:g}" for mm in data.spec.spacing)
    located = getattr(data, "located", lambda number: (f"sample {number}", ""))
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image", "patient", "label", "split", "mask", "axis", "spacing", "slices"))
        for each in found:
            if each.kept:
                slices = " ".join(map(str, each.kept))
                image, mask = located(each.sample)
                table.writerow((image, *_known(data, each.sample), mask, axis, spacing, slices))
            total, kept, volumes = total + each.total, kept + len(each.kept), volumes + 1
    share = kept / total if total else 0.0
    return f"saved {out}: {kept:,} of {total:,} slices of {volumes:,} volumes kept ({share:.1%})"


def _known(data: Any, number: int) -> tuple[str, str, str]:
    """Patient, class and side of a sample."""
    label = -1 if data.labels is None else int(data.labels[number])
    given = {name: side for name in ("test", "val") if (side := getattr(data, name, None)) is not None}
    side = next((name for name, mine in given.items() if bool(mine[number])), "train" if given else "")
    return data.patients[number], data.classes[label] if label >= 0 else "", side
