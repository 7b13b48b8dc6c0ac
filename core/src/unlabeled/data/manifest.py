"""Samples named by a table, and what it says of each: one reader of manifests for all domains.

A data set reads one in a few lines, and has a flag for every column by naming ``Columns`` in its constructor::

    class Images(Described, Readable):
        def __init__(self, path, max_bad, *, size: int = 0, **columns: Unpack[Columns]) -> None:
            if is_table(Path(path)):
                manifest = read_manifest(Path(path), ("path", "file", "image"), columns)
                ...                                     # of manifest.paths those that can be read: rows
                manifest.known(rows).onto(self)         # labels, classes, test, val, targets, groups, folds
            else:
                refuse_columns(Path(path), columns)     # a folder has none
                Known.by_name(found.classes, found.sides).onto(self)

        def describe(self):
            return ", ".join([f"{len(self)} images", *about(self)])

``Stretches`` instead of ``Columns`` where a sample may be a part of its file, ``Pairs`` where two texts have a score.
Roles and the names that they are found by stand in ``USUAL``; ``--data.group none`` leaves one out. What is decided:

    label   a class, numbers too; ``target`` is one where none of its values is a number
    labels  several classes a cell, split by ``|``, else ``;``, else ``,``, or a JSON list; or several columns, of 0 and
            1: ``labels.NAME``, or ``--data.labels a,b``. One class in every row is a label. Empty = unknown
    target  numbers, of one column or several: ``target.NAME``, or ``--data.target a,b``. One that only counts the
            classes of ``label`` is none
    group   of several usual columns (speaker, recording), samples that share any are together
    fold    of train alone: a sample without one is of train in every fold
    split   train, val, test and other words for them (``sides``); empty = train

    # N samples, K targets
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from unlabeled.data import columns as values
from unlabeled.data.sides import Side
from unlabeled.data.stretches import Stretch, stretches
from unlabeled.data.tables import Table, is_table, read_table
from unlabeled.errors import UsageError

if TYPE_CHECKING:
    from unlabeled.data.known import Known

__all__ = ["Columns", "Manifest", "Pairs", "Stretches", "Unsplit", "is_table", "read_manifest", "refuse_columns"]

GROUPS = ("patient", "subject", "participant", "speaker", "recording", "scaffold")
USUAL: dict[str, tuple[str, ...]] = {
    "label": ("label", "class", "category", "class_name", "label_name", "topic"),
    "labels": ("labels",),
    "target": ("target",),
    "score": ("score", "similarity"),
    "group": ("group", "group_id"),
    "fold": ("fold", "folds", "cv_fold"),
    "split": ("split", "partition", "subset"),
}
SEVERAL = ("labels", "target")  # roles of which ROLE.NAME is a column too
NONE = "none"


class Unsplit(TypedDict, total=False):
    """Columns of data whose setting ``split`` says something else: a manifest's own is found by its name.

    Args:
        column: a manifest's column of the samples: their paths, or texts.
        label: a manifest's column of classes.
        labels: a manifest's column of several labels a sample, or columns of 0 and 1, by commas.
        target: a manifest's columns of numbers to predict, by commas.
        group: a manifest's column of what no split tears apart (patient, speaker).
        fold: a manifest's column of folds for cross-validation.
        classes: more classes than half the samples, or some called train and test, are asked about; keep them, or none.
    """

    column: str
    label: str
    labels: str
    target: str
    group: str
    fold: str
    classes: Literal["ask", "keep", "none"]


class Columns(Unsplit, total=False):
    """Settings of data that a manifest may name, each a flag ``--data.NAME``; empty = by usual names, none = not read.

    Args:
        split: a manifest's column of train, val and test.
    """

    split: str


class Stretches(Columns, total=False):
    """Columns of data whose samples may be parts of a file.

    Args:
        start: a manifest's column of where a sample begins in its file, in seconds.
        end: a manifest's column of where it ends, in seconds.
        duration: a manifest's column of how long it is, in seconds.
    """

    start: str
    end: str
    duration: str


class Pairs(Columns, total=False):
    """Columns of data whose samples may be pairs.

    Args:
        score: a manifest's column of how alike the two of a pair are.
    """

    score: str


@dataclass(frozen=True)
class Manifest:
    """N rows, each a sample; a field is None where no column says it.

    Args:
        table: all columns as they stand; ``table.texts("mask")`` reads one more.
        chosen: the columns of each role.
        samples: what each row names: a path or a text, or the two of a pair.
        labels: class of each row; None in it = unknown.
        sides: None in it = not said.
        targets: ``[N][K]``, NaN = unknown, 0 or 1 of ``multilabel``.
        target_names: of the K.
        kind: of the targets.
        groups: a name for each row.
        folds: number of each row's fold; -1 = none.
        scores: NaN = unknown.
        stretches: where each sample lies in its file.
    """

    table: Table
    chosen: Mapping[str, tuple[str, ...]]
    samples: tuple[tuple[str, ...], ...]
    labels: list[str | None] | None = None
    sides: list[Side | None] | None = None
    targets: list[list[float]] | None = None
    target_names: tuple[str, ...] = ()
    kind: Literal["regression", "multilabel"] = "regression"
    groups: tuple[str, ...] | None = None
    folds: list[int] | None = None
    scores: list[float] | None = None
    stretches: list[Stretch] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def names(self) -> list[str]:
        """The path or the text of each row, of a pair the first."""
        return [sample[0] for sample in self.samples]

    @property
    def paths(self) -> list[str]:
        """The path of each row, from the manifest's own folder unless it is absolute; ``a\\b`` is ``a/b`` elsewhere."""
        root = self.table.path.parent
        return [name if "\\" not in name or (root / name).exists() else name.replace("\\", "/") for name in self.names]

    @property
    def unread(self) -> list[str]:
        """Columns that no role reads."""
        read = {name for names in self.chosen.values() for name in names}
        return [name for name in self.table.columns if name not in read]

    def known(self, rows: Sequence[int] | None = None) -> "Known":
        """What the data set is given of these ``rows``, in their order; None = all. See :meth:`Known.onto`."""
        import torch

        from unlabeled.contract import Targets
        from unlabeled.data.known import Known

        made: dict[str, Any] = {"groups": self.groups}
        if self.targets is not None:
            made["targets"] = Targets(torch.tensor(self.targets), self.target_names, self.kind)
        made["folds"] = None if self.folds is None else torch.tensor(self.folds)
        made["scores"] = None if self.scores is None else torch.tensor(self.scores)
        nothing: list[None] = [None] * len(self)
        found = Known.by_name(self.labels or nothing, self.sides or nothing, **made)
        return found if rows is None else found.of(rows)


def refuse_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """:class:`UsageError` for a column that is asked for where the data at ``path`` has none: a folder, an archive."""
    asked = [role for role, name in columns.items() if role != "classes" and name not in ("", NONE)]
    if asked:
        raise UsageError(
            f"{path} is no manifest, so it has no column {columns[asked[0]]!r}: leave --data.{asked[0]} out"
        )


def read_manifest(
    path: Path | Table, samples: Sequence[str | tuple[str, str]], columns: Mapping[str, Any] | None = None,
    *, parts: bool = False, pairs: bool = False, empty: bool = False,
) -> Manifest:  # fmt: skip
    """The samples that a table names, in its order; :class:`UsageError` names the line that is wrong.

    Args:
        path: a file of ``tables.SUFFIXES``, or what it holds.
        samples: the names that the column of samples goes by, first choice first; two of them for a pair.
        columns: settings, as the data set has them.
        parts: whether samples may be parts of a file.
        pairs: whether pairs may have a score.
        empty: whether a sample may be empty; the data set then leaves it out.
    """
    asked = {role: str(name) for role, name in (columns or {}).items() if name and role != "classes"}
    table = path if isinstance(path, Table) else read_table(path)
    chosen = choose_columns(table, samples, asked)
    if not pairs:
        chosen.pop("score", None)
    labels = values.labels(table, chosen)
    several = values.several(table, chosen, labels)
    labels = several.labels if labels is None else labels
    folds, sides = values.folds(table, chosen), values.sides(table, chosen)
    times = {role: asked[role] for role in ("start", "end", "duration") if asked.get(role, NONE) != NONE}
    return Manifest(
        table,
        chosen,
        values.samples(table, chosen["column"], empty=empty),
        labels,
        sides,
        several.values,
        several.names,
        several.kind,
        values.groups(table, chosen, labels, asked),
        folds,
        table.numbers(chosen["score"][0]) if "score" in chosen else None,
        stretches(table, times) if parts else None,
    )


# ------------------------------------------------------------------------------------------------- which column


def choose_columns(
    table: Table, samples: Sequence[str | tuple[str, str]], asked: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The columns of each role that has any; ``asked`` are the settings that are not empty."""
    named = {role: _named(table, text) for role, text in asked.items() if text != NONE or NONE in table.folded}
    taken = {name for names in named.values() for name in names}
    chosen = {"column": named.get("column") or _of_samples(table, samples)}
    for role in USUAL:
        found = named[role] if role in named else () if role in asked else _usual(table, role, taken)
        if found:
            chosen[role] = found
    if "fold" in chosen and "split" not in chosen and "split" not in asked and values.are_sides(table, chosen["fold"]):
        chosen["split"] = chosen.pop("fold")
    return chosen


def _named(table: Table, text: str) -> tuple[str, ...]:
    """The columns that a flag names: one, or several by commas or, for a pair of texts, with a plus between."""
    if text in table.columns or text.strip().casefold() in table.folded:
        return (table.find(text),)
    return tuple(table.find(part) for part in text.replace("+", ",").split(",") if part.strip()) or (table.find(text),)


def _of_samples(table: Table, samples: Sequence[str | tuple[str, str]]) -> tuple[str, ...]:
    for names in samples:
        wanted = (names,) if isinstance(names, str) else names
        if all(name in table.folded for name in wanted):
            return tuple(table.folded[name] for name in wanted)
    known = ", ".join(name if isinstance(name, str) else " and ".join(name) for name in samples)
    raise UsageError(
        f"{table.path} has columns {', '.join(table.columns)}; which has the samples is not clear: name it with "
        f"--data.column, or call it one of {known}"
    )


def _usual(table: Table, role: str, taken: set[str]) -> tuple[str, ...]:
    names = {folded: name for folded, name in table.folded.items() if name not in taken}
    if role in SEVERAL and (dotted := [name for folded, name in names.items() if folded.startswith(f"{role}.")]):
        return tuple(dotted)
    found = [names[name] for name in USUAL[role] if name in names]
    if role == "split":  # a column of another meaning may be called a partition or a subset
        found = [name for name in found if name.strip().casefold() == role or values.are_sides(table, (name,))]
    if role == "group" and not found:
        return tuple(name for folded, name in names.items() if folded.removesuffix("_id") in GROUPS)
    return tuple(found[:1])
