"""Arrays by the names that PyG, OGB and users write: each is read, named as not read, or refused."""

import zipfile

import numpy as np
import pytest

from unlabeled.errors import UsageError
from unlabeled_graph.data.files import files

EDGES = np.array([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])


def read(tmp_path, *, graphs=False, **arrays):
    base = {"node_ptr": np.array([0, 3, 5])} if graphs else {"x": np.eye(5, dtype=np.float32)}
    np.savez(tmp_path / "it.npz", **{**base, "edge_index": EDGES, **arrays})
    return files(str(tmp_path / "it.npz"), 0.0)


@pytest.mark.parametrize("graphs", [False, True])
def test_one_number_of_each_edge_is_a_column(tmp_path, graphs):
    weight = np.array([1, 1, 2, 2, 3, 3], np.float32)
    for names in (("edge_attr",), ("edge_weight",), ("edge_attr", "edge_weight")):
        it = read(tmp_path, graphs=graphs, **dict.fromkeys(names, weight))
        assert it.spec.edge_features == len(names)
        assert sorted(it.raw.edge_attr[:, -1].tolist()) == weight.tolist()
        assert "features of edges" in it.describe(), "not every encoder reads them"
    with pytest.raises(UsageError, match="'edge_attr' has shape"):
        read(tmp_path, graphs=graphs, edge_attr=np.ones((6, 1, 1)))


@pytest.mark.parametrize("kind", [bool, np.int64])
@pytest.mark.parametrize("names", [("train", "val", "test"), ("train", "valid", "test")])
def test_masks_are_the_split(tmp_path, kind, names):
    owner = np.array([0, 0, 1, 2, 2])
    masks = {f"{name}_mask": (owner == number).astype(kind) for number, name in enumerate(names)}
    it = read(tmp_path, y=np.array([0, 1, 0, 1, 1]), **masks)
    split = it.split()
    assert it.protocol == "public"
    assert [part.tolist() for part in (split.train, split.val, split.test)] == [[0, 1], [2], [3, 4]]
    assert it.val.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("split", [np.array([0, 0, 1, 2, -1]), np.array(["train", "train", "valid", "test", ""])])
def test_a_column_of_sides_is_the_split_of_nodes_too(tmp_path, split):
    it = read(tmp_path, y=np.array([0, 1, 0, 1, 1]), split=split)
    assert it.split().test.tolist() == [3]
    with pytest.raises(UsageError, match="'split' says 7"):
        read(tmp_path, y=np.array([0, 1, 0, 1, 1]), split=np.array([0, 0, 1, 2, 7]))


def test_a_split_that_is_none_is_refused(tmp_path):
    y = np.array([0, 1, 0, 1, 1])
    one, two = np.array([0, 1]), np.array([1, 2])
    with pytest.raises(UsageError, match="sample 1 is in the train and the test set"):
        read(tmp_path, y=y, train_idx=one, test_idx=two)
    with pytest.raises(UsageError, match="a split by _idx and by _mask"):
        read(tmp_path, y=y, train_idx=one, test_mask=np.array([0, 0, 0, 1, 1]))
    with pytest.raises(UsageError, match="has a train set, but a split needs train and test"):
        read(tmp_path, y=y, train_idx=one)


@pytest.mark.parametrize("graphs", [False, True])
def test_targets_of_many_columns(tmp_path, graphs):
    y = np.array([[0, 1], [np.nan, 0], [1, 1], [0, 0], [1, 0]])[: 2 if graphs else 5]
    it = read(tmp_path, graphs=graphs, y=y, target_names=np.array(["a", "b"]))
    assert (it.labels, it.targets.kind, it.targets.names) == (None, "multilabel", ("a", "b"))
    assert "2 labels, " in it.describe()


def test_groups_and_names_of_graphs(tmp_path):
    it = read(tmp_path, graphs=True, scaffold=np.array(["r", "s"]), smiles=np.array(["CC", "CO"]), extra=np.ones(3))
    assert (it.groups, it.names) == (("r", "s"), ("CC", "CO"))
    assert "not read: extra" in it.describe()


def test_kinds_of_nodes_are_few(tmp_path):
    it = read(tmp_path, graphs=True, node_label=np.array([[3, 0], [5, 1], [3, 1], [3, 0], [5, 0]]))
    assert it.spec.features == 5
    with pytest.raises(UsageError, match="too many as kinds"):
        read(tmp_path, graphs=True, node_label=np.array([0, 1, 2, 3, 20231104120000]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"adj_indptr": np.array([0, 1, 9])},
        {"adj_indptr": np.array([0, 2, 1])},
        {"adj_indptr": np.array([[0, 1, 2]])},
        {"adj_indices": np.array([-1, 0])},
        {"attr_indices": np.array([0, 9])},
        {"attr_indptr": np.array([5, 1, 2])},
    ],
)
def test_places_outside_of_a_matrix_are_refused(tmp_path, wrong):
    good = {"indptr": np.array([0, 1, 2]), "indices": np.array([1, 0]), "data": np.ones(2), "shape": np.array([2, 2])}
    arrays = {f"{name}_{part}": value for name in ("adj", "attr") for part, value in good.items()}
    np.savez(tmp_path / "it.npz", **arrays)
    assert len(files(str(tmp_path / "it.npz"), 0.0)) == 2
    np.savez(tmp_path / "it.npz", **{**arrays, **wrong})
    with pytest.raises(UsageError):
        files(str(tmp_path / "it.npz"), 0.0)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_member_is_one_line(tmp_path, method):
    np.savez(tmp_path / "good.npz", x=np.random.default_rng(0).normal(size=(50, 9)), edge_index=EDGES)
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "bad.npz", "w", method) as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name))
    content = bytearray((tmp_path / "bad.npz").read_bytes())
    for place in range(60, 400):
        content[place] ^= 0x5A
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as"):
        files(str(tmp_path / "bad.npz"), 0.0)
