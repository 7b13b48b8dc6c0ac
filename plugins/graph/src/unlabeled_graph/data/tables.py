"""What a table says of its rows, nodes or molecules: core's manifests, read into what a graph's file may say.

A column ``y`` is one of classes or numbers, as ``targets.meaning`` has it; so is ``label``. ``target`` is numbers.

    # N rows, K columns
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Targets
from unlabeled.data.files import natural
from unlabeled.data.manifest import USUAL, Manifest, read_manifest
from unlabeled.data.sides import Side
from unlabeled.data.tables import Table
from unlabeled_graph.data.raw import SETS
from unlabeled_graph.data.targets import MISSING

Y = "y"  # usual here alone: elsewhere it may be a place
NUMBERS = ("", "index", "unnamed: 0", "idx", "level_0")  # the number of a row, which pandas writes first


def read_rows(table: Table, samples: Sequence[str], columns: Mapping[str, Any]) -> Manifest:
    """The rows of a table, whose names stand in a column of ``samples``."""
    roles = ("label", "labels", "target")
    known = any(columns.get(role) or any(name in table.folded for name in USUAL[role]) for role in roles)
    if Y in table.folded and not known:
        columns = {**columns, "label": table.folded[Y]}
    return read_manifest(table, samples, columns)


def told(manifest: Manifest, rows: Sequence[int]) -> dict[str, Any]:
    """Fields of ``Raw`` that the columns of classes, targets, sets, folds and groups fill, of these ``rows``."""
    found: dict[str, Any] = {}
    if manifest.labels is not None:
        found["y"], found["classes"] = labels([manifest.labels[row] for row in rows])
    if manifest.targets is not None:
        values = torch.tensor(manifest.targets)[list(rows)]
        found["targets"] = Targets(values, manifest.target_names, manifest.kind)
    if manifest.sides is not None:
        found["sets"] = sets([manifest.sides[row] for row in rows])
    if manifest.folds is not None:
        found["folds"] = torch.tensor(manifest.folds)[list(rows)]
    if manifest.groups is not None:
        found["groups"] = tuple(manifest.groups[row] for row in rows)
    return found


def labels(texts: Sequence[str | None]) -> tuple[Tensor | None, tuple[str, ...]]:
    """A column of numbers as they are, or classes by name; NaN or -1 where it says nothing."""
    known = [text for text in texts if not unknown(text)]
    if not known:
        return None, ()
    if all(is_number(text) for text in known):
        values = [torch.nan if unknown(text) else float(str(text)) for text in texts]
        return torch.tensor(values, dtype=torch.float64), ()
    names = tuple(natural({str(text) for text in known}))
    place = {name: number for number, name in enumerate(names)}
    return torch.tensor([-1 if unknown(text) else place[str(text)] for text in texts]), names


def sets(sides: Sequence[Side | None]) -> dict[str, Tensor]:
    """Ids by the names of the sides; a row without one is in no set."""
    return {
        name: torch.tensor([row for row, side in enumerate(sides) if side == name], dtype=torch.int64)
        for name in SETS
        if name in sides
    }


def unknown(text: str | None) -> bool:
    """Whether a field says that its value is missing."""
    return text is None or text.strip().lower() in MISSING


def is_number(text: str | None) -> bool:
    """Whether a field is one."""
    try:
        float(str(text))
    except ValueError:
        return False
    return True


def numbers(table: Table, columns: Sequence[str]) -> Tensor:
    """``float[N, K]``: features, none of which may be missing."""
    found = [table.texts(name) for name in columns]
    for name, column in zip(columns, found):
        for row, text in enumerate(column):
            if not is_number(text):
                raise table.wrong(row, f"column {name!r} is {text or ''!r}, which is no number")
    return torch.tensor([[float(str(text)) for text in column] for column in found]).T.contiguous()


def unread(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    """A note that names columns that nothing reads."""
    return (f"{path.name}: not read: {', '.join(name or '(no name)' for name in columns)}",) if columns else ()
