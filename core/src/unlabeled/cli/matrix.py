"""``unlabeled matrix``: which objective runs in which domain, from tables alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from unlabeled.cli.list import columns
from unlabeled.plugins.registry import registry

RUNS = "runs"


@dataclass(frozen=True)
class Matrix:
    """``runs``, or what is unmet, by objective and domain; a domain that does not know an objective has no cell."""

    domains: tuple[str, ...]
    cells: Mapping[str, Mapping[str, str]]

    def to_dict(self) -> dict[str, Mapping[str, str]]:
        """What ``--json`` prints: ``{"mae": {"vision": "runs", ...}, ...}``."""
        return dict(self.cells)

    def text(self) -> str:
        """A row for each objective; a number stands for the line below that says what is unmet."""
        said = sorted({cell for row in self.cells.values() for cell in row.values()} - {RUNS})
        marks = {RUNS: RUNS, "": "-"} | {line: f"({number})" for number, line in enumerate(said, 1)}
        rows = [(name, *(marks[row.get(domain, "")] for domain in self.domains)) for name, row in self.cells.items()]
        table = columns([("objective", *self.domains), *rows])
        return "\n".join([table, "", "-  an objective of other domains", *(f"{marks[line]}  {line}" for line in said)])


def matrix_command() -> Matrix:
    """Which objectives run in which domain, and what the parts of the others lack."""
    cells: dict[str, dict[str, str]] = {}
    for domain in sorted(registry().domains):
        for row in registry().components(domain, "objective"):
            cells.setdefault(row.name, {})[domain] = registry().unmet(domain, row) or RUNS
    return Matrix(tuple(sorted(registry().domains)), dict(sorted(cells.items())))
