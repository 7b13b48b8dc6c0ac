"""Splits and classes by the names of folders."""

import pytest

from unlabeled.data.sides import by_folder, masks, side_of


@pytest.mark.parametrize(
    ("names", "classes", "test"),
    [
        (["1.png", "2.png"], [None, None], None),
        (["cat/1.png", "dog/2.png"], ["cat", "dog"], None),
        (["root/cat/1.png", "root/dog/x/2.png"], ["cat", "dog"], None),
        (["all/1.png", "all/2.png"], [None, None], None),
        (["0.png", "cat/1.png", "dog/2.png"], [None, "cat", "dog"], None),
        (["train/cat/1.png", "train/dog/2.png", "test/cat/3.png"], ["cat", "dog", "cat"], [False, False, True]),
        (["Train/a/1.png", "val/b/2.png"], ["a", "b"], [False, True]),
        (["train/1.png", "test/2.png"], [None, None], [False, True]),
        (["train/a/1.png", "train/b/2.png"], ["a", "b"], None),
        (["train/1.png", "car/2.png"], ["train", "car"], None),
        ([], [], None),
        # whatever lies beside train and test is of train, and has no class
        (["train/a/1", "train/b/2", "test/a/3", "logo"], ["a", "b", "a", None], [False, False, True, False]),
        (["train/a/1", "test/b/2", "unlabeled/x/3", "extra/4"], ["a", "b", None, None], [False, True, False, False]),
        (["set/train/a/1", "set/test/b/2", "logo", "set/logo"], ["a", "b", None, None], [False, True, False, False]),
        (["Training/a/1", "Testing/b/2", "a/3"], ["a", "b", None], [False, True, False]),
    ],
)
def test_classes_and_test_by_folder(names, classes, test):
    found = by_folder(names)
    held, val = masks(found.sides)
    assert found.classes == classes
    assert val is None
    assert (None if held is None else held.tolist()) == test


@pytest.mark.parametrize("name", ["dev", "val", "Valid", "validation", "eval"])
def test_val_is_the_test_alone_and_apart_beside_one(name):
    alone = masks(by_folder(["train/a/1", f"{name}/b/2"]).sides)
    assert alone[0].tolist() == [False, True]
    assert alone[1] is None
    test, val = masks(by_folder(["train/a/1", f"{name}/b/2", "test/a/3"]).sides)
    assert test.tolist() == [False, False, True]
    assert val.tolist() == [False, True, False]


def test_other_names_are_no_side():
    assert [side_of(name) for name in (" Train ", "trainer", "", "unlabeled")] == ["train", None, None, None]
