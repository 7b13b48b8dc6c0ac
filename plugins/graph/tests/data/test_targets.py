"""What ``y`` says: classes, labels, or numbers, whatever its shape and type."""

import numpy as np
import pytest
import torch

from unlabeled.errors import UsageError
from unlabeled_graph.data.targets import meaning

NAN = float("nan")


def classes_of(y, names=()):
    found, classes, targets, notes = meaning(torch.as_tensor(y), tuple(names), (), "it")
    assert targets is None
    return found.tolist(), classes, notes


@pytest.mark.parametrize(
    ("y", "labels", "names"),
    [
        ([[0], [2], [0]], [0, 1, 0], ("0", "2")),
        ([20231104120000, 0, 2], [2, 0, 1], ("0", "2", "20231104120000")),
        ([1.0, NAN, 0.0], [1, -1, 0], ("0", "1")),
        ([3, -1, 5], [0, -1, 1], ("3", "5")),
        ([-1, 1, -1], [0, 1, 0], ("-1", "1")),
        ([-2, -1, 0], [0, 1, 2], ("-2", "-1", "0")),
        ([[0, 0, 1], [1, 0, 0]], [2, 0], ("0", "1", "2")),
    ],
)
def test_classes(y, labels, names):
    assert classes_of(y)[:2] == (labels, names)


def test_names_that_the_data_give_go_by_number():
    assert classes_of([2, -1, 0], ("a", "b", "c"))[:2] == ([2, -1, 0], ("a", "b", "c"))
    with pytest.raises(UsageError, match="class 3, but 3 classes have names"):
        classes_of([3, 0], ("a", "b", "c"))


def test_labels_of_which_several_hold():
    y = torch.tensor([[0.0, 1.0], [NAN, 1.0], [1.0, 1.0]])
    found, classes, targets, _ = meaning(y, (), ("toxic", "soluble"), "it")
    assert (found, classes, targets.kind, targets.names) == (None, (), "multilabel", ("toxic", "soluble"))
    torch.testing.assert_close(targets.values, y, equal_nan=True)
    unknown = meaning(torch.tensor([[0, -1], [1, 1]]), (), (), "it")[2]
    torch.testing.assert_close(unknown.values, torch.tensor([[0, NAN], [1, 1]]), equal_nan=True)
    with pytest.raises(UsageError, match="1 and -1 alone"):
        meaning(torch.tensor([[1, -1], [1, 1]]), (), (), "it")


def test_numbers_to_predict():
    found, classes, targets, _ = meaning(torch.tensor([0.5, NAN, 2.0]), (), ("log_p",), "it")
    assert (found, classes, targets.kind, targets.names) == (None, (), "regression", ("log_p",))
    assert targets.values.shape == (3, 1)
    assert meaning(torch.tensor([[0.5, 1], [2, 3]]), (), (), "it")[2].names == ("y0", "y1")
    _, _, targets, notes = meaning(torch.arange(40), (), (), "it")
    assert targets.values.flatten().tolist() == list(range(40))
    assert "read as numbers to predict" in notes[0]


def test_a_shape_that_says_nothing_is_named():
    for y in (np.zeros((2, 2, 2)), np.zeros(()), np.zeros((3, 0))):
        with pytest.raises(UsageError, match="'y' has shape"):
            meaning(torch.from_numpy(y), (), (), "it")
