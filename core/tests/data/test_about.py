"""The header names classes and sides, and a run asks where classes look like something else."""

from types import SimpleNamespace

import pytest
import torch

from unlabeled.contract import Targets
from unlabeled.data.about import about, settle
from unlabeled.errors import UsageError


class Set(SimpleNamespace):
    def __len__(self):
        return 10

    def describe(self):
        return "ten"


def made(labels, classes, **more):
    return Set(labels=torch.tensor(labels), classes=classes, **{"test": None, "val": None} | more)


def test_classes_and_sides_are_named():
    side = torch.arange(10) > 6
    data = made([0, 1] * 5, ("cat", "dog"), test=side, val=torch.arange(10) < 1, folds=torch.arange(10) % 4 - 1)
    data.groups = ("a",) * 5 + ("b",) * 5
    data.targets = Targets(torch.zeros(10, 1), ("price",), "regression")
    assert about(data) == [
        "2 classes (cat, dog)", "1 target (price)", "6 of train", "3 of test held out", "1 of val kept apart",
        "3 folds", "2 groups (1 of them on both sides of the given split)",
    ]  # fmt: skip
    data.test = torch.arange(10) > 4
    assert about(data)[-1] == "2 groups"
    assert about(made([0] * 10, tuple("abcdefgh"))) == ["8 classes (a, b, c, d, e, f, 2 more)"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (made([0, 1] * 5, ("train", "test")), "train, test are classes here, and no side of a split"),
        (made([0, 1] * 5, ("Testing", "cat")), "Testing is a class here"),
        (made(list(range(10)), tuple("abcdefghij")), "10 classes of 10 labeled samples, more than half"),
        (made([0, 1, 2] + [-1] * 7, tuple("abc")), "3 classes of 3 labeled samples"),
    ],
)
def test_what_looks_like_no_classes_is_asked_about(data, message):
    with pytest.raises(UsageError, match=rf"ten: {message}.*--data.classes keep .*--data.classes none"):
        settle(data, "ask")
    settle(data, "keep")
    settle(data, None)
    assert data.labels is not None
    settle(data, "none")
    assert (data.labels, data.classes) == (None, ())


def test_classes_are_taken_where_nothing_is_strange():
    data = made([0, 1, 2, 3, 4] * 2, tuple("abcde"))
    settle(data, "ask")
    assert data.classes == tuple("abcde")
    assert data.labels.tolist() == [0, 1, 2, 3, 4] * 2
