"""Columns of a manifest as what they say: samples, classes, targets, groups, folds and sides of its rows. No torch.

# N rows, K targets
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unlabeled.data.files import natural
from unlabeled.data.sides import Side, side_of, spelled
from unlabeled.data.tables import MISSING, Table
from unlabeled.errors import UsageError

Chosen = Mapping[str, tuple[str, ...]]
SEPARATORS = "|;,"  # of several labels in a cell: the first of them that any cell has


def samples(table: Table, columns: Sequence[str], *, empty: bool) -> tuple[tuple[str, ...], ...]:
    """What each row names; NA and the like are names here."""
    read = [[table.text(n, name, value) for n, value in enumerate(table.column(name))] for name in columns]
    found = tuple(zip(*read, strict=True))
    for row, sample in enumerate(found):
        if not empty and not all(sample):
            raise table.wrong(row, f"nothing in column {columns[sample.index('')]}, which names the sample")
    return found


# ------------------------------------------------------------------------------------------------- classes


def labels(table: Table, chosen: Chosen) -> list[str | None] | None:
    """The class of each row; that of ``target`` where none of it is a number, and there is no label."""
    if "label" in chosen:
        return _whole(table.texts(chosen["label"][0]))
    if "labels" not in chosen and _is_class(table, chosen):
        return table.texts(chosen["target"][0])
    return None


def _is_class(table: Table, chosen: Chosen) -> bool:
    names = chosen.get("target", ())
    found = [text for text in table.texts(names[0]) if text is not None] if len(names) == 1 else []
    return bool(found) and not any(_is_number(text) for text in found)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _whole(found: list[str | None]) -> list[str | None]:
    """Classes that are whole numbers without their ``.0``, which a table with missing labels is written with."""
    known = {text for text in found if text is not None}
    if not all(_is_number(text) and float(text).is_integer() for text in known):
        return found
    return [None if text is None else str(int(float(text))) if "." in text or "e" in text.casefold() else text
            for text in found]  # fmt: skip


# ------------------------------------------------------------------------------------------------- targets


@dataclass(frozen=True)
class Several:
    """``values[N][K]``, their names and kind; ``labels`` where every row names exactly one."""

    values: list[list[float]] | None = None
    names: tuple[str, ...] = ()
    kind: Literal["regression", "multilabel"] = "regression"
    labels: list[str | None] | None = None


def several(table: Table, chosen: Chosen, classes: Sequence[str | None] | None) -> Several:
    """Targets of each row, from the column ``labels`` or ``target``."""
    found = _labels(table, chosen["labels"]) if "labels" in chosen else Several()
    if "target" not in chosen or ("label" not in chosen and "labels" not in chosen and _is_class(table, chosen)):
        return found
    names = chosen["target"]
    columns = [table.numbers(name) for name in names]
    if classes is not None and len(columns) == 1 and _counts(columns[0], classes):
        return found
    if found.values is not None:
        raise UsageError(
            f"{table.path} has labels in {', '.join(chosen['labels'])} and numbers to predict in {', '.join(names)}: "
            "leave one of them out with --data.labels none or --data.target none"
        )
    short = tuple(name.partition(".")[2] or name for name in names)
    return Several([list(row) for row in zip(*columns, strict=True)], short, "regression", found.labels)


def _counts(column: Sequence[float], classes: Sequence[str | None]) -> bool:
    """Whether numbers only count the classes: whole, and one for each."""
    pairs = {(c, v) for v, c in zip(column, classes, strict=True) if c is not None and not math.isnan(v)}
    whole = all(v.is_integer() for _, v in pairs)
    return bool(pairs) and whole and len(pairs) == len({c for c, _ in pairs}) == len({v for _, v in pairs})


def _labels(table: Table, columns: Sequence[str]) -> Several:
    if len(columns) > 1 or "." in columns[0]:
        return _of_columns(table, columns)
    cells = _cells(table, columns[0])
    if all(cell is not None and len(cell) == 1 for cell in cells):
        return Several(labels=[cell[0] for cell in cells if cell])
    names = tuple(natural({label for cell in cells for label in cell or ()}))
    values = [[math.nan] * len(names) if cell is None else [float(n in cell) for n in names] for cell in cells]
    return Several(values, names, "multilabel")


def _of_columns(table: Table, columns: Sequence[str]) -> Several:
    """A column a label, of 0, 1 and unknown."""
    found = [table.numbers(name) for name in columns]
    for name, column in zip(columns, found, strict=True):
        for row, value in enumerate(column):
            if not math.isnan(value) and value not in (0, 1):
                raise table.wrong(row, f"{name} is {value:g}; a column of one label has 0, 1 or nothing")
    short = tuple(name.partition(".")[2] or name for name in columns)
    return Several([list(row) for row in zip(*found, strict=True)], short, "multilabel")


def _cells(table: Table, name: str) -> list[list[str] | None]:
    """The labels of each row; None where they are unknown."""
    listed = [_listed(table, row, name, value) for row, value in enumerate(table.column(name))]
    text = "".join(value for value in listed if isinstance(value, str))
    separator = next((s for s in SEPARATORS if s in text), "")
    return [_parts(value, separator) if isinstance(value, str) else value for value in listed]


def _parts(text: str, separator: str) -> list[str]:
    parts = text.split(separator) if separator else [text]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _listed(table: Table, row: int, name: str, value: Any) -> str | list[str] | None:
    """A cell's list, or its text where it is none."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise table.wrong(row, f"{name} is {value!r}, which is no JSON list ({error})") from error
    if isinstance(value, list):
        return list(dict.fromkeys(table.text(row, name, part) for part in value))
    text = table.text(row, name, value)
    return None if text in MISSING else text


# ------------------------------------------------------------------------------------------------- splits


def groups(
    table: Table, chosen: Chosen, classes: Sequence[str | None] | None, asked: Mapping[str, str]
) -> tuple[str, ...] | None:
    """A name for the group of each row; a row that has none is one by itself.

    A usual column whose groups are the classes (speakers to be told apart) is no group: no split could ask for them.
    """
    read = {name: table.texts(name) for name in chosen.get("group", ())}
    if "group" not in asked and classes is not None:
        read = {name: column for name, column in read.items() if not _same(column, classes)}
    if not read:
        return None
    several = len(read) > 1  # a speaker 1 is no recording 1
    found = [
        [(f"{name} {text}" if several else text) if text else table.where(row) for row, text in enumerate(column)]
        for name, column in read.items()
    ]
    return _together(found) if several else tuple(found[0])


def _same(first: Sequence[str | None], second: Sequence[str | None]) -> bool:
    """Whether two columns tell the same rows apart, unknown ones too, and several rows share each value."""
    pairs = set(zip(first, second, strict=True))
    return 2 * len(pairs) <= len(first) and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _together(columns: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Rows that share a name in any column, by the first of all that are so connected."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for names in zip(*columns, strict=True):
        for other in names[1:]:
            parent[root(other)] = root(names[0])
    return tuple(root(name) for name in columns[0])


def folds(table: Table, chosen: Chosen) -> list[int] | None:
    """The number of each row's fold, by the natural order of their names; -1 = none."""
    if "fold" not in chosen:
        return None
    found = _whole(table.texts(chosen["fold"][0]))
    number = {name: n for n, name in enumerate(natural({text for text in found if text is not None}))}
    return [-1 if text is None else number[text] for text in found] if number else None


def sides(table: Table, chosen: Chosen) -> list[Side | None] | None:
    """The side of each row; :class:`UsageError` for a word that is none."""
    if "split" not in chosen:
        return None
    name, found = chosen["split"][0], list[Side | None]()
    for row, text in enumerate(table.texts(name)):
        side = None if text is None else side_of(text)
        if text is not None and side is None:
            raise table.wrong(row, f"{name} is {text!r}; it must be one of {spelled()}")
        found.append(side)
    return found


def are_sides(table: Table, columns: Sequence[str]) -> bool:
    """Whether all words of a column are sides, and there are any."""
    found = {text for text in table.texts(columns[0]) if text is not None}
    return bool(found) and all(side_of(text) for text in found)
