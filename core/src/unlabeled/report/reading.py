"""The record of a run in its folder: config, log rows, probe table. Missing parts are None; broken ones an error."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlabeled.errors import UsageError
from unlabeled.probes.table import Table
from unlabeled.runs.folder import CONFIG, RunFolder


@dataclass(frozen=True)
class Run:
    """One run folder, read."""

    name: str
    folder: Path
    config: dict[str, Any]
    config_text: str
    log: tuple[dict[str, Any], ...]
    table: Table | None
    interrupted: str = ""

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of ``loss`` or ``parts/invariance``, where a row has a number."""
        found = [(row["step"], value) for row in self.log if isinstance(value := _get(row, key), int | float)]
        return [step for step, _ in found], [float(value) for _, value in found]

    def names(self, group: str = "") -> list[str]:
        """Names of the numbers that the log has, in order; ``parts`` gives ``parts/...``."""
        found: dict[str, None] = {}
        for row in self.log:
            inside = row.get(group, {}) if group else row
            if isinstance(inside, dict):
                found |= {f"{group}/{k}" if group else k: None for k, v in inside.items() if isinstance(v, int | float)}
        return list(found)


def _get(row: dict[str, Any], key: str) -> Any:
    group, _, name = key.rpartition("/")
    inside = row.get(group, {}) if group else row
    return inside.get(name) if isinstance(inside, dict) else None


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Every run, under the shortest name that tells it from the others."""
    if not folders:
        raise UsageError("no run to report on; give one or more run folders")
    short = [Path(folder).resolve().name for folder in folders]
    names = short if len(set(short)) == len(short) else [str(folder) for folder in folders]
    return [read_run(Path(folder), name) for folder, name in zip(folders, names, strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """One run; ``UsageError`` where ``folder`` is none, or a file in it cannot be read."""
    run = RunFolder(folder)
    config, text = run.raw, (folder / CONFIG).read_text(encoding="utf-8")
    return Run(name, folder, config, text, _log(run.metrics), _table(run.probes), run.interrupted())


def _log(path: Path) -> tuple[dict[str, Any], ...]:
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # a run that is under way, or was killed while it wrote
                break
            raise UsageError(f"{path}, line {number}, is not valid JSON: {error}") from error
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return tuple(rows)


def _table(path: Path) -> Table | None:
    if not path.is_file():
        return None
    try:
        return Table.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {error}; write it anew with `unlabeled ... probe`") from error
