"""The record of a run in its folder: config, log rows, probe table. Missing parts are None; broken ones an error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unlabeled.errors import UsageError
from unlabeled.probes.table import Table


@dataclass(frozen=True)
class Run:
    """One run folder, read."""

    name: str
    folder: Path
    config: dict[str, Any]
    config_text: str
    log: tuple[dict[str, Any], ...]
    table: Table | None

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
    if not (folder / "config.yaml").is_file():
        raise UsageError(f"{folder} is no run folder: it has no config.yaml")
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{folder / 'config.yaml'} is not valid YAML: {' '.join(str(error).split())}") from error
    return Run(name, folder, config if isinstance(config, dict) else {}, text, _log(folder), _table(folder))


def _log(folder: Path) -> tuple[dict[str, Any], ...]:
    path = folder / "metrics.jsonl"
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


def _table(folder: Path) -> Table | None:
    path = folder / "probes.json"
    if not path.is_file():
        return None
    try:
        return Table.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {error}; write it anew with `unlabeled ... probe`") from error
