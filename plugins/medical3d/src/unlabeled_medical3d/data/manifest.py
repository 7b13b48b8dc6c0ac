"""Samples named by a CSV, or what a CSV knows of those in a folder.

Columns: ``image`` (a path relative to the CSV, several channels joined by ``;``, or a folder of one DICOM series), or
``id`` (the name of a file without folder and suffix); and, each as wanted, ``mask``, ``label``, ``split`` (train, val,
test), ``patient``, ``modality`` (ct, mr, shape). Other columns are passed over.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import get_args

from unlabeled.data.sources import Folder
from unlabeled.errors import UsageError
from unlabeled_medical3d.data.sources import LIMITS, Entry, stem
from unlabeled_medical3d.ops.intensity import Modality

SPLITS = {"train": False, "val": False, "valid": False, "validation": False, "test": True, "": None}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, with column names in lower case."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [{(k or "").strip().lower(): (v or "").strip() for k, v in r.items()} for r in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise UsageError(f"{path} cannot be read as a CSV: {error}") from error
    if not rows:
        raise UsageError(f"{path} has no rows")
    for number, row in enumerate(rows, start=2):
        if row.get("split", "").lower() not in SPLITS:
            raise UsageError(f"{path}, line {number}: split is {row['split']!r}; it must be train, val or test")
        if row.get("modality", "").lower() not in ("", *get_args(Modality)):
            raise UsageError(f"{path}, line {number}: modality is {row['modality']!r}; it must be ct, mr or shape")
    return rows


def _known(entry: Entry, row: Mapping[str, str]) -> Entry:
    """``entry`` with what the row says of it."""
    side = SPLITS[row.get("split", "").lower()]
    return replace(
        entry,
        label=row.get("label", "") or entry.label,
        held_out=entry.held_out if side is None else side,
        patient=row.get("patient", "") or entry.patient,
        modality=row.get("modality", "").lower() or entry.modality,
    )


def from_manifest(path: Path) -> tuple[Folder, list[Entry]]:
    """The samples that a CSV with an ``image`` column names, in its order."""
    rows = read_rows(path)
    if "image" not in rows[0]:
        raise UsageError(f"{path} has columns {', '.join(rows[0])}; it must have one named image, with paths")
    source, entries = Folder(path.parent, limits=LIMITS), []
    inside = set(source.names)
    for row in rows:
        files = tuple(_relative(part) for part in row["image"].split(";") if part.strip())
        series = tuple(n for n in source.names if len(files) == 1 and n.startswith(f"{files[0]}/"))
        name = row.get("id") or (files[0] if files else "")
        mask = _relative(row["mask"]) if row.get("mask") else ""
        if mask and mask not in inside and not (path.parent / mask).is_file():
            raise UsageError(f"{path}: the mask {mask} of {name} is no file, nor one below {path.parent}")
        made = Entry(name, series or files, dicom=bool(series), mask=mask, patient=name)
        entries.append(_known(made, row))
    return source, entries


def _relative(path: str) -> str:
    return PurePosixPath(path.strip().replace("\\", "/")).as_posix()


def annotate(entries: Sequence[Entry], path: Path) -> list[Entry]:
    """Entries with what a CSV with an ``id`` column says of them; those that it does not name are left out."""
    rows = read_rows(path)
    if "id" not in rows[0]:
        raise UsageError(f"{path} has columns {', '.join(rows[0])}; it must have one named id, with names of files")
    by_id = {stem(row["id"]): row for row in rows}
    found = [_known(entry, by_id[stem(entry.name)]) for entry in entries if stem(entry.name) in by_id]
    if not found:
        raise UsageError(
            f"{path} names none of the {len(entries):,} volumes: its first id is {rows[0]['id']!r}, "
            f"the first volume {stem(entries[0].name)!r}"
        )
    return found
