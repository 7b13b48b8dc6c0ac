"""What the column ``y`` of a data set says: one class of each sample, several labels, or numbers to predict.

# N samples, K columns
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unlabeled.contract import Targets
from unlabeled.errors import UsageError

MISSING = ("", "nan", "na", "n/a", "none", "null", "?", "-")  # how tables write that a value is unknown
MANY = 20  # from so many samples on, more values than half of them are numbers and no classes
Meaning = tuple[Tensor | None, tuple[str, ...], Targets | None, tuple[str, ...]]


def meaning(y: Tensor, classes: tuple[str, ...], columns: Sequence[str], where: str) -> Meaning:
    """Classes ``int64[N]`` (-1 unknown) with their names, or :class:`Targets`; and what must be said of it.

    ``classes`` are names that the data give, by number; ``columns`` those of K columns. Whole numbers are classes
    unless nearly every sample has its own; a fraction makes all of them numbers to predict.
    """
    if y.dim() == 0 or y.dim() > 2:
        raise UsageError(f"{where}: 'y' has shape {list(y.shape)}; it must be [samples] or [samples, targets]")
    if y.dim() == 2 and y.shape[1] != 1:
        return _several(y, classes, columns, where)
    y = y.flatten()
    known = y[_known(y)]
    if not len(known):
        return None, (), None, ("every label is unknown",) if len(y) else ()
    if bool((known != known.round()).any()):
        return None, (), _numbers(y[:, None].float(), columns), ()
    found = known.unique()
    if not classes and len(known) >= MANY and 2 * len(found) > len(known):
        note = f"'y' has {len(found):,} values of {len(known):,} samples: read as numbers to predict, not as classes"
        return None, (), _numbers(torch.where(_known(y), y.double(), torch.nan).float()[:, None], columns), (note,)
    return _classes(y, found, classes, where)


def _known(y: Tensor) -> Tensor:
    return y.isfinite() if y.is_floating_point() else torch.ones_like(y, dtype=torch.bool)


def _numbers(values_NK: Tensor, columns: Sequence[str]) -> Targets:
    count = values_NK.shape[1]
    names = tuple(columns) if len(columns) == count else tuple(f"y{n}" if count > 1 else "y" for n in range(count))
    return Targets(values_NK, names, "regression")


def _classes(y: Tensor, found: Tensor, classes: tuple[str, ...], where: str) -> Meaning:
    """Classes numbered by their value; -1 is unknown, unless the data have other numbers below 0, or 1 and -1 alone."""
    signs = found.tolist() == [-1, 1]
    notes = ("'y' is 1 or -1: read as two classes",) if signs and not classes else ()
    if classes or not (signs or float(found[0]) < -1):
        found = found[found >= 0]
    if classes and len(found) and int(found[-1]) >= len(classes):
        raise UsageError(f"{where}: 'y' has class {int(found[-1])}, but {len(classes)} classes have names")
    if not len(found):
        return None, (), None, ("every label is unknown",)
    values = torch.where(_known(y), y, -1 if not y.is_floating_point() else torch.nan)
    place = torch.searchsorted(found, torch.where(_known(y), y, found[0]).contiguous()).clamp(max=len(found) - 1)
    inside = found[place] == values
    if classes:
        return torch.where(inside, found[place], -1).long(), classes, None, ()
    return torch.where(inside, place, -1), tuple(str(int(value)) for value in found), None, notes


def _several(y: Tensor, classes: tuple[str, ...], columns: Sequence[str], where: str) -> Meaning:
    """``y[N, K]``: one class written as K columns, K labels that hold or not, or K numbers."""
    if y.shape[1] == 0:
        raise UsageError(f"{where}: 'y' has shape {list(y.shape)}; it must have a column")
    values = y.float()
    known = values[values.isfinite()]
    if (
        not y.is_floating_point()
        and bool((known == -1).any())
        and bool(torch.isin(known, torch.tensor([-1, 0, 1])).all())
    ):
        if not bool((known == 0).any()):
            raise UsageError(
                f"{where}: 'y' holds 1 and -1 alone; write 0 for a label that does not hold, nan = unknown"
            )
        values = torch.where(values == -1, torch.nan, values)
        known = values[values.isfinite()]
    if not bool(torch.isin(known, torch.tensor([0.0, 1.0])).all()):
        return None, (), _numbers(values, columns), ()
    if y.shape[1] > 2 and bool((values.sum(1) == 1).all()):
        names = classes or tuple(columns) or tuple(str(number) for number in range(y.shape[1]))
        return values.argmax(1), names, None, ("'y' has a single 1 in each row: read as one class",)
    names = classes if len(classes) == y.shape[1] else _numbers(values, columns).names
    return None, (), Targets(values, names, "multilabel"), ()
