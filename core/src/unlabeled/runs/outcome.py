"""What fine-tuning came to: scores on test by row and seed, and what they stand on; a table, and ``finetune.json``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from unlabeled.runs.task import LOSS, PERCENT, Kind

HEADS = {"accuracy": "accuracy %", "macro_f1": "macro F1 %", "map": "mAP %", "auc": "AUC %", "rmse": "RMSE",
         "mae": "MAE", "r2": "R2", "spearman": "Spearman"}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """Scores by number, row and seed; shares are in [0, 1].

    Args:
        spec: frozen name of the recipe.
        settings: that it ran under.
        under: them in words, but for the defaults.
        data: what it was measured on.
        train: number of samples.
        test: number of samples.
        names: of the classes, labels or tasks.
        kind: what they are.
        scores: ``{number: {row: [of each seed]}}``.
        guess: ``{number: what a guess scores}``.
        notes: lines under the table.
    """

    spec: str
    settings: Mapping[str, Any]
    under: str
    data: str
    train: int
    test: int
    names: tuple[str, ...]
    kind: Kind
    scores: dict[str, dict[str, list[float]]]
    guess: dict[str, float]
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.names)

    @property
    def accuracy(self) -> dict[str, list[float]]:
        """That of each row, of classes."""
        return self.scores.get("accuracy", {})

    @property
    def chance(self) -> float:
        """The accuracy of a guess, of classes."""
        return self.guess.get("accuracy", 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``finetune.json``."""
        found = asdict(self) | {"classes": self.classes}
        return found | ({"accuracy": self.accuracy, "chance": self.chance} if self.kind == "classes" else {})

    def text(self) -> str:
        """The table, and what it was measured under."""
        rows = list(dict.fromkeys(row for by_row in self.scores.values() for row in by_row))
        by_row = {"chance": {name: [value] for name, value in self.guess.items()}}
        by_row |= {row: {name: found[row] for name, found in self.scores.items() if row in found} for row in rows}
        cells = [["fine-tuned", *(f"test {HEADS.get(name, name)}" for name in self.scores)]]
        cells += [[row, *(_cell(name, found.get(name, [])) for name in self.scores)] for row, found in by_row.items()]
        widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in cells
        ]
        what = {"classes": "classes", "multilabel": "labels", "regression": "targets", "choices": "score a choice"}[
            self.kind
        ]
        data = f"data: {self.data}; {self.train} train, {self.test} test, {self.classes} {what}"
        return "\n".join([*lines, "", data, f"{self.spec}: {LOSS[self.kind]}, {self.under}", *self.notes])


def _cell(name: str, values: Sequence[float]) -> str:
    if not values:
        return "-"
    scale, digits = (100, 1) if name in PERCENT else (1, 3)
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{scale * mean:.{digits}f}"
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return f"{scale * mean:.{digits}f} ± {scale * spread:.{digits}f}"
