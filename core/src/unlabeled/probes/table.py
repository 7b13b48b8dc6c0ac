"""The probe table: numbers beside their baselines, each with its spec, sample counts and seeds.

One form for a terminal, a text to copy, ``probes.json`` and the report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = "unlabeled-probes-1"
CHANCE, BASELINE, UNTRAINED, PRETRAINED = "chance", "no model", "untrained", "pre-trained"
PERCENT = ("accuracy", "macro_f1")
LOWER = ("rmse", "mae", "eer", "hd95", "perplexity", "error", "loss")  # the less the better
BEST = "*"  # marks the best row where text cannot be bold
WIDE, TASKS = 6, 24  # tasks in a block, and in all
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
    best: frozenset[str] = frozenset()  # rows that stand out, by their first cell


@dataclass(frozen=True)
class Table:
    """Rows of measurements, and everything that is needed to read or repeat them.

    ``details`` are ``per_class`` and ``confusion`` (rows true, columns guessed) of a probe by its name, of the
    pre-trained encoder, all labels and the first seed.
    """

    domain: str
    data: Mapping[str, Any]
    seeds: tuple[int, ...]
    specs: Mapping[str, str]
    versions: Mapping[str, str]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)

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
            "details": dict(self.details),
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
        return cls(*head, columns, rows, tuple(found["notes"]), found.get("details", {}))

    def blocks(self) -> list[Block]:
        """One block for each probe asked at several numbers of labels, one for scores, tasks, and the rest."""
        by_labels = {c.probe: [d for d in self.columns if d.probe == c.probe] for c in self.columns if c.labels}
        blocks = []
        for probe, columns in by_labels.items():
            first = columns[0].number
            beside = [c for c in columns if c.number == "macro_f1"][-1:]  # of the most labels
            kept = [c for c in columns if c.number == first]
            heads = [f"{c.labels} ({c.n_train})" for c in kept] + [f"{c.labels}, macro F1" for c in beside]
            unit = " %" if first in PERCENT else ""
            blocks.append(self._block(f"{probe} {first}{unit}", heads, [*kept, *beside]))
        plain = [c for c in self.columns if not c.labels and ":" not in c.number]
        for title, columns in (
            ("scored on test", [c for c in plain if c.n_test]),
            ("without labels", [c for c in plain if not c.n_test]),
        ):
            if columns:
                names = [c.number for c in columns]
                heads = [f"{c.probe} {c.number}" if names.count(c.number) > 1 else c.number for c in columns]
                blocks.append(self._block(title, heads, columns))
        return blocks + self._tasks()

    def _tasks(self) -> list[Block]:
        """R2 or area under the curve of each task, a few tasks in a block; the other numbers are in ``probes.json``."""
        blocks = []
        for probe in dict.fromkeys(c.probe for c in self.columns):
            for key in ("r2", "auc"):
                columns = [c for c in self.columns if c.probe == probe and c.number.startswith(f"{key}:")]
                for start in range(0, min(len(columns), TASKS), WIDE):
                    part = columns[start : start + WIDE]
                    heads = [c.number.partition(":")[2] for c in part]
                    blocks.append(self._block(f"{probe} {key} by task", heads, part))
        return blocks

    def _block(self, title: str, heads: Sequence[str], columns: Sequence[Column]) -> Block:
        rows = [
            (row.label, *(_cell(row, column) for column in columns))
            for row in self.rows
            if any(column.key in row.numbers for column in columns)
        ]
        return Block(title, tuple(heads), tuple(rows), self._best(columns))

    def _best(self, columns: Sequence[Column]) -> frozenset[str]:
        """Labels of the rows that are best in the column that says most: all labels, or else the first."""
        scored = [c for c in columns if c.n_test]
        whole = [c for c in scored if c.labels == "all" and c.number != "macro_f1"]
        if not scored:
            return frozenset()
        column = (whole or [c for c in scored if c.number != "macro_f1"] or scored)[0]
        sign = -1 if column.number.partition(":")[0] in LOWER else 1
        means = {row.label: sign * row.numbers[column.key].mean for row in self.rows if column.key in row.numbers}
        return frozenset(label for label, value in means.items() if value == max(means.values()))

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
            marked = [(f"{row[0]} {BEST}" if row[0] in block.best else row[0], *row[1:]) for row in block.rows]
            cells = [(block.title, *block.heads), *marked]
            widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
            for row in cells:
                right = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
                lines.append("  ".join((row[0].ljust(widths[0]), *right)).rstrip())
            lines.append("")
        best = [f"{BEST} is the best row of its block"] if any(block.best for block in self.blocks()) else []
        return "\n".join([*lines, *best, *self.legend()])

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
                style = "bold" if row[0] in block.best else ""
                drawn.add_row(*(Text(cell) for cell in row), style=style)
            console.print(drawn)
        console.print("\n".join(self.legend()), markup=False, highlight=False, style="dim")


def _plain(number: Number) -> dict[str, Any]:
    return {"mean": number.mean, "deviation": number.deviation, **asdict(number)}


def _cell(row: Row, column: Column) -> str:
    number = row.numbers.get(column.key)
    return "-" if number is None else number.show(percent=column.number in PERCENT)
