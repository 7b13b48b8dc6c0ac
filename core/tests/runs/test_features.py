"""Features as files: a row for each sample that went in, in its order, by its name."""

from types import SimpleNamespace

import numpy as np
import torch

from unlabeled.contract import Embedded
from unlabeled.runs.features import table, write


def given(**more):
    bad = {"c.png": "no image", "d.png": "truncated"}  # c by its header, d when it was read
    names, test = ["a.png", "b.png", "d.png", "e.png"], torch.tensor([False, True, False, True])
    labels = torch.tensor([0, 1, 0, 1])

    class Data(SimpleNamespace):
        def __len__(self):
            return 4

    return Data(**({"names": names, "bad": bad, "labels": labels, "test": test} | more))


READ = Embedded(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 3]))


def test_what_cannot_be_read_keeps_its_row_and_says_why():
    found = table(READ, given())
    assert found["path"].tolist() == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert found["ids"].tolist() == [0, 1, -1, 2, 3]
    np.testing.assert_equal(found["x"][:, 0], [1, 2, np.nan, np.nan, 3])
    assert found["y"].tolist() == [0, 1, -1, 0, 1]
    assert found["split"].tolist() == ["train", "test", "", "train", "test"]
    assert found["bad"].tolist() == ["", "", "no image", "truncated", ""]


def test_or_is_left_out():
    found = table(READ, given(), skip_bad=True)
    assert found["path"].tolist() == ["a.png", "b.png", "e.png"]
    assert found["x"][:, 0].tolist() == [1, 2, 3]
    assert "bad" not in found


def test_the_order_of_a_manifest_stays(tmp_path):
    found = table(READ, given(names=["b.png", "a.png", "d.png", "e.png"], bad={}))
    assert found["path"].tolist() == ["b.png", "a.png", "d.png", "e.png"]
    assert found["bad"].tolist() == ["", "", "cannot be read", ""]
    write(tmp_path / "f.npz", found, ("x", "y"))
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        assert file["path"].tolist() == found["path"].tolist()
