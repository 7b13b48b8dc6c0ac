"""What is known of the samples of a data set beside what they hold: classes, sides, targets, groups and folds.

One form for folders and manifests, whose fields are the attributes that ``contract.Data`` has for them.

    # N samples, K targets
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from unlabeled.contract import Targets
from unlabeled.data.files import natural
from unlabeled.data.sides import Side, masks


@dataclass(frozen=True, kw_only=True)
class Known:
    """Of N samples; each is None where nothing says it.

    Args:
        labels: ``[N]`` class of each sample, -1 unknown.
        classes: their names.
        test: bool[N], True = held out.
        val: bool[N], True = kept apart from train and test.
        targets: numbers, or labels of which several may hold.
        groups: a name for each sample; no split has one on both sides.
        folds: ``[N]`` fold of each sample, -1 none.
        scores: ``[N]`` similarity of the two texts of a pair, NaN unknown.
    """

    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    test: Tensor | None = None
    val: Tensor | None = None
    targets: Targets | None = None
    groups: tuple[str, ...] | None = None
    folds: Tensor | None = None
    scores: Tensor | None = None

    @classmethod
    def by_name(cls, labels: Sequence[str | None], sides: Sequence[Side | None], **more: Any) -> Self:
        """From the name of each sample's class and its side, as ``sides.by_folder`` gives them; None = unknown."""
        numbers, classes = numbered(labels)
        test, val = masks(sides)
        return cls(labels=numbers, classes=classes, test=test, val=val, **more)

    def of(self, rows: Sequence[int]) -> Self:
        """Of the samples ``rows``, in their order; the classes stay."""
        at = torch.tensor(rows, dtype=torch.int64)

        def part(value: Any) -> Any:
            if isinstance(value, Targets):
                return replace(value, values=value.values[at])
            return value[at] if isinstance(value, Tensor) else value

        found = {field.name: part(getattr(self, field.name)) for field in fields(self)}
        found["groups"] = None if self.groups is None else tuple(self.groups[row] for row in rows)
        return replace(self, **found)

    def onto(self, data: Any) -> None:
        """Set the attributes of ``data`` that ``contract.Data`` has for them, and ``scores`` where there are any."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "scores" or value is not None:
                setattr(data, field.name, value)


class Described:
    """A base of data sets: the attributes that :meth:`Known.onto` sets, and what they are where nothing is known."""

    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    test: Tensor | None = None
    val: Tensor | None = None
    targets: Targets | None = None
    groups: tuple[str, ...] | None = None
    folds: Tensor | None = None


def numbered(names: Sequence[str | None]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Numbers of names in their natural order, -1 for None, and the names; None where there is none."""
    known = tuple(natural({name for name in names if name is not None}))
    if not known:
        return None, ()
    number = {name: n for n, name in enumerate(known)}
    return torch.tensor([-1 if name is None else number[name] for name in names]), known
