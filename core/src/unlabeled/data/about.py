"""What the header of a run says of any data set's classes and sides, and the question where they look like a mistake.

# N samples
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from unlabeled.data.sides import side_of
from unlabeled.errors import UsageError

SHOWN = 6  # names that a line spells out


def about(data: Any) -> list[str]:
    """Classes by name, sides, targets, folds and groups of a data set, for its ``describe()``."""
    found = [f"{len(data.classes)} classes ({named(data.classes)})"] if len(data.classes) else []
    targets = getattr(data, "targets", None)
    if targets is not None:
        count = len(targets.names)
        what = "labels of which several may hold" if targets.kind == "multilabel" else "target" + "s" * (count > 1)
        found.append(f"{count} {what} ({named(targets.names)})")
    return [*found, *_sides(data), *_ties(data)]


def named(names: Sequence[str]) -> str:
    """The first few names, and how many there are beside."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f", {rest:,} more" if rest > 0 else "")


def _sides(data: Any) -> list[str]:
    if data.test is None:
        return []
    test, val = int(data.test.sum()), _count(getattr(data, "val", None))
    found = [f"{len(data) - test - val:,} of train", f"{test:,} of test held out"]
    return [*found, f"{val:,} of val kept apart"] if val else found


def _count(side: Tensor | None) -> int:
    return 0 if side is None else int(side.sum())


def _ties(data: Any) -> list[str]:
    folds, groups = getattr(data, "folds", None), getattr(data, "groups", None)
    found = [] if folds is None else [f"{len(folds[folds >= 0].unique())} folds"]
    if groups is None or len(set(groups)) == len(data):
        return found
    torn = "" if data.test is None else _torn(groups, data.test)
    return [*found, f"{len(set(groups)):,} groups{torn}"]


def _torn(groups: Sequence[str], test: Tensor) -> str:
    held = {group for group, side in zip(groups, test.tolist(), strict=True) if side}
    both = held & {group for group, side in zip(groups, test.tolist(), strict=True) if not side}
    return f" ({len(both):,} of them on both sides of the given split)" if both else ""


def settle(data: Any, answer: str | None) -> None:
    """Ask about classes that are none, or do as the user has answered.

    Args:
        data: the data set.
        answer: the setting ``classes``: ask, keep or none (then it has no labels); None where it has no such setting.
    """
    if answer == "none":
        data.labels, data.classes = None, ()
    elif answer == "ask" and (reason := doubt(data)):
        raise UsageError(
            f"{data.describe()}: {reason} Are these classes? --data.classes keep takes them as they are, "
            "--data.classes none reads no labels, and a manifest names its own with --data.label, --data.target"
        )


def doubt(data: Any) -> str:
    """Why the classes of ``data`` look like something else; empty where they do not."""
    if data.labels is None:
        return ""
    sides = [name for name in data.classes if side_of(name)]
    if sides:
        verb = "is a class" if len(sides) == 1 else "are classes"
        return f"{named(sides)} {verb} here, and no side of a split (a folder train beside one of test is)."
    labeled, count = int((data.labels >= 0).sum()), len(data.labels[data.labels >= 0].unique())
    return f"{count:,} classes of {labeled:,} labeled samples, more than half as many." if 2 * count > labeled else ""
