"""The probe table: numbers beside their baselines, each with its spec, sample counts and seeds.

One form for a terminal, a text to copy, ``probes.json`` and the report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = "unlabeled-probes-1"
CHANCE, BASELINE, UNTRAINED, PRETRAINED = "chance", "no model", "untrained", "pre-trained"
KINDS = (CHANCE, BASELINE, UNTRAINED, PRETRAINED)


@dataclass(frozen=True)
class Column:
    """What is measured: a number of a probe, at a number of labels.

    Args:
        probe: name of the probe component.
        number: name of the number that it gives.
        labels: how many labels it saw, ``10 per class``; empty where that is no question.
        spec: the probe's frozen name and version.
        n_train: samples that the probe learned from, or took the spectrum of.
        n_test: samples that it was scored on; 0 = none.
    """

    probe: str
    number: str
    labels: str
    spec: str
    n_train: int
    n_test: int

    @property
    def key(self) -> str:
        return f"{self.probe}.{self.number}" + (f"@{self.labels}" if self.labels else "")


@dataclass(frozen=True)
class Number:
    """A measurement for each of ``seeds``; more than one only where a split, a subset or initial weights are drawn."""

    values: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over the seeds; None for one value."""
        if len(self.values) < 2:
            return None
        return math.sqrt(sum((v - self.mean) ** 2 for v in self.values) / (len(self.values) - 1))

    def show(self, percent: bool = False) -> str:
        """``97.2 ± 0.3``; without a deviation where nothing was drawn."""
        scale, digits = (100, 1) if percent else (1, 1 if abs(self.mean) >= 10 else 3)
        spread = "" if self.deviation is None else f" ± {scale * self.deviation:.{digits}f}"
        return f"{scale * self.mean:.{digits}f}{spread}"


@dataclass(frozen=True)
class Row:
    """What is probed: ``kind`` is one of chance, no model, untrained, pre-trained."""

    kind: str
    name: str
    numbers: Mapping[str, Number]

    @property
    def label(self) -> str:
        return f"{self.kind}: {self.name}" if self.name else self.kind


@dataclass(frozen=True)
class Block:
    """A part of the table that fits a terminal: cells as text, the first column names the row."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """Rows of measurements, and everything that is needed to read or repeat them."""

    domain: str
    data: Mapping[str, Any]
    seeds: tuple[int, ...]
    specs: Mapping[str, str]
    versions: Mapping[str, str]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def row(self, kind: str) -> Row:
        """The row of that kind; ``KeyError`` where the table has none."""
        for row in self.rows:
            if row.kind == kind:
                return row
        raise KeyError(kind)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``probes.json``."""
        columns = [{"key": c.key, **asdict(c)} for c in self.columns]
        rows = [
            {"kind": row.kind, "name": row.name, "numbers": {k: _plain(n) for k, n in row.numbers.items()}}
            for row in self.rows
        ]
        return {
            "format": FORMAT,
            "domain": self.domain,
            "data": dict(self.data),
            "seeds": list(self.seeds),
            "specs": dict(self.specs),
            "versions": dict(self.versions),
            "columns": columns,
            "rows": rows,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Table:
        """The table that ``to_dict`` wrote; ``ValueError`` for any other content."""
        if not isinstance(found, Mapping) or found.get("format") != FORMAT:
            raise ValueError(f"no probe table of format {FORMAT!r}")
        columns = tuple(Column(**{k: v for k, v in c.items() if k != "key"}) for c in found["columns"])
        rows = tuple(
            Row(r["kind"], r["name"], {k: Number(tuple(n["values"]), tuple(n["seeds"])) for k, n in numbers.items()})
            for r in found["rows"]
            for numbers in [r["numbers"]]
        )
        head = (found["domain"], found["data"], tuple(found["seeds"]), found["specs"], found["versions"])
        return cls(*head, columns, rows, tuple(found["notes"]))

    def blocks(self) -> list[Block]:
        """One block for each probe asked at several numbers of labels, one for other scores, one for the rest."""
        by_labels = {c.probe: [d for d in self.columns if d.probe == c.probe] for c in self.columns if c.labels}
        blocks = []
        for probe, columns in by_labels.items():
            unit = " %" if columns[0].number == "accuracy" else ""
            heads = [f"{c.labels} ({c.n_train})" for c in columns]
            blocks.append(self._block(f"{probe} {columns[0].number}{unit}", heads, columns))
        scored = [c for c in self.columns if not c.labels and c.n_test]
        free = [c for c in self.columns if not c.labels and not c.n_test]
        for title, columns in (("scored on test", scored), ("without labels", free)):
            if columns:
                names = [c.number for c in columns]
                heads = [f"{c.probe} {c.number}" if names.count(c.number) > 1 else c.number for c in columns]
                blocks.append(self._block(title, heads, columns))
        return blocks

    def _block(self, title: str, heads: Sequence[str], columns: Sequence[Column]) -> Block:
        rows = [
            (row.label, *(_cell(row, column) for column in columns))
            for row in self.rows
            if any(column.key in row.numbers for column in columns)
        ]
        return Block(title, tuple(heads), tuple(rows))

    def legend(self) -> list[str]:
        """What stands under the table: data, seeds, specs and notes."""
        data = f"data: {self.data.get('description', '')}; {self.data.get('split', '')}"
        over = "folds" if str(self.data.get("split", "")).endswith(" folds") else "seeds"
        seeds = f"± is the deviation over {over} {', '.join(map(str, self.seeds))}; (n) is the number of labels seen"
        return [data, seeds, *self.specs.values(), *self.notes]

    def text(self) -> str:
        """Aligned plain text."""
        lines = []
        for block in self.blocks():
            cells = [(block.title, *block.heads), *block.rows]
            widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
            for row in cells:
                right = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
                lines.append("  ".join((row[0].ljust(widths[0]), *right)).rstrip())
            lines.append("")
        return "\n".join([*lines, *self.legend()])

    def print(self, console: Console) -> None:
        """A drawn table on a terminal, plain aligned text anywhere else."""
        if not console.is_terminal:
            console.print(self.text(), markup=False, highlight=False, soft_wrap=True)
            return
        from rich.table import Table as Drawn
        from rich.text import Text

        for block in self.blocks():
            drawn = Drawn()
            drawn.add_column(Text(block.title))
            for head in block.heads:
                drawn.add_column(Text(head), justify="right", no_wrap=True)
            for row in block.rows:
                style = "bold" if row[0].startswith(PRETRAINED) else ""
                drawn.add_row(*(Text(cell) for cell in row), style=style)
            console.print(drawn)
        console.print("\n".join(self.legend()), markup=False, highlight=False, style="dim")


def _plain(number: Number) -> dict[str, Any]:
    return {"mean": number.mean, "deviation": number.deviation, **asdict(number)}


def _cell(row: Row, column: Column) -> str:
    number = row.numbers.get(column.key)
    return "-" if number is None else number.show(percent=column.number == "accuracy")
