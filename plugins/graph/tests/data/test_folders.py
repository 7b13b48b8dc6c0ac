"""Folders that someone damaged, or meant to: one line, never a crash of the interpreter."""

import pickle

import numpy as np
import pytest
import scipy.sparse

from unlabeled.errors import UsageError
from unlabeled_graph.data.files import files


def planetoid(folder, **wrong):
    def words(count):
        return scipy.sparse.csr_matrix(np.eye(6, dtype=np.float32)[:count])

    parts = {"x": words(2), "allx": words(4), "tx": words(2)}
    parts |= {"ally": np.eye(2)[[0, 1, 0, 1]], "ty": np.eye(2), "graph": {0: [1, 4], 1: [0], 4: [0, 5], 5: [4]}}
    for name, part in {**parts, **{key: value for key, value in wrong.items() if key != "test"}}.items():
        (folder / f"ind.it.{name}").write_bytes(pickle.dumps(part))
    (folder / "ind.it.test.index").write_text(wrong.get("test", "4\n5\n"))
    return files(str(folder), 0.0)


def broken(**state):
    matrix = scipy.sparse.csr_matrix(np.eye(4, 6, dtype=np.float32))
    matrix.__dict__.update(state)
    return matrix


def test_the_good_one_is_read(tmp_path):
    assert len(planetoid(tmp_path)) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"allx": broken(indices=np.array([0, 1, 2, 1 << 30]))},
        {"allx": broken(indptr=np.array([0, 1, 2, 3, 1 << 40]))},
        {"allx": broken(indptr=np.array([0, 3, 2, 3, 4]))},
        {"allx": broken(data=np.ones(2))},
        {"allx": broken(_shape=(1 << 20, 6))},
        {"allx": [1, 2]},
        {"tx": scipy.sparse.csr_matrix(np.eye(2, 5))},
        {"ally": np.eye(2)},
        {"ally": [1, 2]},
        {"graph": [1, 2]},
        {"graph": {0: 3}},
        {"test": "4\n4\n"},
        {"test": "4\n"},
        {"test": "4\n99999999999\n"},
        {"test": "four\n"},
    ],
)
def test_a_damaged_one_is_one_line(tmp_path, wrong):
    with pytest.raises(UsageError):
        planetoid(tmp_path, **wrong)


def test_targets_and_features_of_tudataset(tmp_path):
    rows = {"A": "1, 2\n2, 1\n3, 4\n4, 3\n", "graph_indicator": "1\n1\n2\n2\n", "graph_attributes": "0.5, 1\n2, 3\n"}
    rows |= {"edge_labels": "0\n0\n1\n1\n", "edge_attributes": "5\n5\n6\n6\n"}
    for name, text in rows.items():
        (tmp_path / f"IT_{name}.txt").write_text(text)
    it = files(str(tmp_path), 0.0)
    assert it.targets.values.tolist() == [[0.5, 1], [2, 3]]
    assert it.__getitems__([1]).edge_attr.tolist() == [[0, 1, 6]] * 2
    (tmp_path / "IT_node_labels.txt").write_text("1\n2\n3\n20231104120000\n")
    with pytest.raises(UsageError, match="too many as kinds"):
        files(str(tmp_path), 0.0)
