"""Every form of file: what is read, and what is said of those that are wrong."""

import pickle

import numpy as np
import pytest
import torch

from unlabeled.errors import UsageError
from unlabeled_graph.data.files import files
from unlabeled_graph.data.graphs import Graphs
from unlabeled_graph.data.nodes import Nodes
from unlabeled_graph.ops.pyg import Data, HeteroData
from unlabeled_graph.ops.sparse import dense

EDGES = np.array([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])


def node_arrays(**more):
    return {"x": np.eye(5, dtype=np.uint8), "edge_index": EDGES, "y": np.array([0, 1, 0, 1, 1]), **more}


def graph_arrays(**more):
    return {"node_ptr": np.array([0, 3, 5]), "edge_index": EDGES, "y": np.array([1, 0]), **more}


def nodes(path, **settings):
    found = files(str(path), 0.0, **settings)
    assert isinstance(found, Nodes)
    return found


def graphs(path, **settings):
    found = files(str(path), 0.0, **settings)
    assert isinstance(found, Graphs)
    return found


# ------------------------------------------------------------------------------------------------- .npz


def test_one_graph_in_arrays(tmp_path):
    path = tmp_path / "it.npz"
    sets = {"train_idx": np.array([0]), "val_idx": np.array([1]), "test_idx": np.array([3, 4])}
    np.savez(path, **node_arrays(label_names=np.array(["cat", "dog"]), **sets))
    it = nodes(path)
    assert (len(it), it.spec.features, it.classes) == (5, 5, ("cat", "dog"))
    assert it.protocol == "public"
    assert it.labels.tolist() == [0, -1, -1, 1, 1], "labels of train and test alone"
    assert it.test.tolist() == [False, False, False, True, True]
    assert it.all_labels.tolist() == [0, 1, 0, 1, 1]
    assert "public split of 1 train and 2 test" in it.describe()


def test_graphs_in_arrays(tmp_path):
    path = tmp_path / "it.npz"
    np.savez(path, **graph_arrays(node_label=np.array([0, 1, 2, 0, 1]), fold=np.array([0, 1])))
    it = graphs(path)
    assert (len(it), it.spec.features, it.spec.level) == (2, 3, "graph")
    assert it.protocol == "folds"
    assert it.test is None, "with folds every graph is test once"
    second = it.__getitems__([1])
    assert dense(second.x).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert second.edges.tolist() == [[1, 0], [0, 1]]


def test_molecules_in_arrays(tmp_path):
    path = tmp_path / "it.npz"
    atoms = np.array([[6, 2, 0, 1, 4, 0, 0]] * 4 + [[8, 1, -1, 0, 3, 1, 1]], dtype=np.int8)
    bonds = np.array([[2, 0, 1]] * 4 + [[3, 1, 1]] * 2, dtype=np.int8)
    np.savez(path, **graph_arrays(node_feat=atoms, edge_feat=bonds, split=np.array([0, 2]), y=np.array([0.0, 1.0])))
    it = graphs(path)
    assert (it.spec.features, it.spec.edge_features) == (165, 6)
    assert it.test.tolist() == [False, True]
    batch = it.__getitems__([0, 1])
    assert dense(batch.x).sum(1).tolist() == [7] * 5, "one value of each column"
    assert batch.edge_attr[-1].tolist() == [0, 1, 0, 0, 1, 1]


def test_a_regression_has_targets_and_no_labels(tmp_path):
    path = tmp_path / "it.npz"
    np.savez(path, **graph_arrays(y=np.array([0.5, -1.25]), split=np.array([0, 2])))
    it = graphs(path)
    assert it.labels is None
    assert (it.targets.values.flatten().tolist(), it.targets.kind) == ([0.5, -1.25], "regression")
    assert it.test is not None


def test_compressed_rows_of_gnn_benchmark(tmp_path):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    adjacency = scipy_sparse.csr_matrix((np.ones(6), EDGES[::-1]), shape=(5, 5))
    words = scipy_sparse.csr_matrix(np.eye(5))
    parts = {
        f"{name}_{part}": getattr(found, part)
        for name, found in (("adj", adjacency), ("attr", words))
        for part in ("data", "indices", "indptr", "shape")
    }
    path = tmp_path / "it.npz"
    np.savez(path, labels=np.array([0, 1, 0, 1, 1]), **parts)
    it = nodes(path, split="none", normalize="none")
    assert torch.equal(dense(it.graph.x), torch.eye(5))
    assert set(map(tuple, it.graph.edges.T.tolist())) == set(map(tuple, EDGES.T.tolist()))


def test_without_features_degrees_are(tmp_path):
    path = tmp_path / "it.npz"
    np.savez(path, edge_index=EDGES)
    it = nodes(path, degrees=3)
    assert dense(it.graph.x).argmax(1).tolist() == [1, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": np.eye(5)}, "it must have 'edge_index'"),
        (node_arrays(x=np.ones(5)), "'x' has shape"),
        (node_arrays(y=np.array(list("abcde"))), "must hold numbers"),
        (graph_arrays(node_ptr=np.array([1, 3, 5])), "'node_ptr' must begin with 0"),
        (graph_arrays(node_ptr=np.array([0, 3, 3, 5])), "graph 1 has no nodes"),
        (graph_arrays(node_feat=np.full((5, 1), 0) + np.arange(5)[:, None] * 9999), "as kinds those are too many"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, arrays, text):
    path = tmp_path / "it.npz"
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match=text):
        files(str(path), 0.0)


def test_features_larger_than_memory_stay_on_the_disk(tmp_path):
    x = np.random.default_rng(0).random((5, 3)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "edge_index.npy", EDGES)
    np.save(tmp_path / "y.npy", np.array([0, 1, 0, 1, 1]))
    it = nodes(tmp_path, fanout=(2,))
    assert it.sampling == "neighbors"
    assert it.raw.mapped
    batch = it.__getitems__([1, 4])
    assert isinstance(batch.x, torch.Tensor)
    assert batch.x.dtype == torch.float32
    assert torch.equal(batch.x, torch.from_numpy(x[batch.nodes.numpy()].astype(np.float32)))
    with pytest.raises(ValueError, match="divide its rows before"):
        files(str(tmp_path), 0.0, normalize="row")
    x[3, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(UsageError, match="node 3 has a feature that is not finite"):
        files(str(tmp_path), 0.0)


# ------------------------------------------------------------------------------------------------- PyG


def test_a_graph_of_pyg(tmp_path):
    mask = torch.tensor([True, False, False, False, False])
    data = Data(x=torch.eye(5), edge_index=torch.from_numpy(EDGES), y=torch.tensor([0, 1, 0, 1, 1]), train_mask=mask)
    data.test_mask = ~mask
    torch.save(data, tmp_path / "it.pt")
    it = nodes(tmp_path / "it.pt")
    assert it.protocol == "public"
    assert it.split().train.tolist() == [0]
    torch.save(data.to_dict(), tmp_path / "dict.pt")
    assert len(nodes(tmp_path / "dict.pt")) == 5


def test_graphs_of_pyg(tmp_path):
    first = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1], [1, 0]]), y=torch.tensor([1]))
    second = Data(x=torch.zeros(2, 2), edge_index=torch.tensor([[0, 1], [1, 0]]), y=torch.tensor([0]))
    torch.save([first, second], tmp_path / "it.pt")
    it = graphs(tmp_path / "it.pt")
    assert it.labels.tolist() == [1, 0]
    assert it.__getitems__([1]).lengths == (2,)
    second.x = torch.zeros(2, 3)
    torch.save([first, second], tmp_path / "it.pt")
    with pytest.raises(UsageError, match="all must have as many"):
        files(str(tmp_path / "it.pt"), 0.0)


def test_many_kinds_of_nodes_become_one_graph(tmp_path):
    data = HeteroData()
    data["paper"].x, data["paper"].y = torch.ones(3, 2), torch.tensor([0, 1, 0])
    data["author"].x = torch.full((2, 1), 5.0)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1], [0, 2]])
    torch.save(data, tmp_path / "it.pt")
    it = nodes(tmp_path / "it.pt", split="none")
    assert dense(it.graph.x).tolist() == [[1, 1, 0, 1, 0]] * 3 + [[0, 0, 5, 0, 1]] * 2
    assert it.graph.edges.tolist() == [[3, 4, 0, 2], [0, 2, 3, 4]]
    assert it.graph.edge_attr.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert it.labels.tolist() == [0, 1, 0, -1, -1]


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    torch.save({"edge_index": Harmful()}, tmp_path / "it.pt")
    with pytest.raises(UsageError, match="without running code"):
        files(str(tmp_path / "it.pt"), 0.0)
    for part in ("x", "tx", "allx", "y", "ty", "ally", "graph"):
        (tmp_path / f"ind.evil.{part}").write_bytes(pickle.dumps(Harmful()))
    (tmp_path / "ind.evil.test.index").write_text("4\n")
    with pytest.raises(UsageError, match=r"no Planetoid file: it names builtins\.print"):
        files(str(tmp_path), 0.0)
    assert "run" not in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- raw folders


def test_a_folder_of_tudataset(tmp_path):
    rows = {
        "A": "1, 2\n2, 1\n4, 5\n5, 4\n",
        "graph_indicator": "1\n1\n1\n2\n2\n",
        "graph_labels": "-1\n1\n",
        "node_labels": "3\n5\n3\n5\n5\n",
        "edge_labels": "0\n0\n1\n1\n",
    }
    (tmp_path / "raw").mkdir()
    for name, text in rows.items():
        (tmp_path / "raw" / f"IT_{name}.txt").write_text(text)
    it = graphs(tmp_path)
    assert it.labels.tolist() == [0, 1]
    batch = it.__getitems__([0, 1])
    assert batch.lengths == (3, 2)
    assert dense(batch.x).argmax(1).tolist() == [0, 2, 0, 2, 2]
    assert batch.edge_attr.argmax(1).tolist() == [0, 0, 1, 1]
    (tmp_path / "raw" / "IT_graph_indicator.txt").unlink()
    with pytest.raises(UsageError, match="no IT_graph_indicator"):
        files(str(tmp_path), 0.0)


def test_a_folder_of_planetoid(tmp_path):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    labels = np.eye(2)
    parts = {
        "x": scipy_sparse.csr_matrix(np.eye(6)[:2]),
        "allx": scipy_sparse.csr_matrix(np.eye(6)[:3]),
        "tx": scipy_sparse.csr_matrix(np.eye(6)[[5, 4]]),
        "y": labels[[0, 1]],
        "ally": labels[[0, 1, 0]],
        "ty": labels[[1, 0]],
        "graph": {0: [1, 3], 1: [0], 3: [0, 5], 5: [3]},
    }
    for name, part in parts.items():
        (tmp_path / f"ind.it.{name}").write_bytes(pickle.dumps(part, protocol=2))
    (tmp_path / "ind.it.test.index").write_text("5\n3\n")  # node 4 stands alone, without features or a label
    it = nodes(tmp_path, normalize="none")
    assert len(it) == 6
    x = dense(it.graph.x)
    assert x[5].argmax() == 5
    assert x[3].argmax() == 4
    assert float(x[4].sum()) == 0
    assert it.all_labels.tolist() == [0, 1, 0, 0, -1, 1]
    split = it.split()
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == ([0, 1], [2], [3, 5])


# ------------------------------------------------------------------------------------------------- tables


def test_an_edge_list_with_a_table_of_nodes(tmp_path):
    (tmp_path / "edges.csv").write_text("from,to,weight\nann,bob,2\nbob,eve,3\n")
    (tmp_path / "nodes.csv").write_text("id,age,label,split\nann,30,red,train\nbob,40,,val\neve,50,blue,test\n")
    it = nodes(tmp_path)
    assert dense(it.graph.x).flatten().tolist() == [30, 40, 50]
    assert it.classes == ("blue", "red")
    assert it.all_labels.tolist() == [1, -1, 0]
    assert it.graph.edges.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]
    assert it.graph.edge_attr.flatten().tolist() == [2, 2, 3, 3]
    assert "2 edges added" in it.describe()


def test_an_edge_list_alone(tmp_path):
    (tmp_path / "edges.csv").write_text("a,b\n1,2\n2,3\n")
    it = nodes(tmp_path / "edges.csv", degrees=4)
    assert dense(it.graph.x).argmax(1).tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("edges", "table", "text"),
    [
        ("a,b\nann,tom\n", "id,age\nann,1\nbob,2\n", "line 2: names node 'tom', which nodes.csv does not list"),
        ("a,b\nann,bob\n", "id,age\nann,1\nbob,old\n", "line 3: column 'age' is 'old', which is no number"),
        ("a,b\nann,bob\n", "id,age\nann,1\nann,2\n", "1 names of nodes stand twice"),
        ("a,b\nann\n", "id,age\nann,1\nbob,2\n", "line 2 has 1 fields, and the header has 2"),
        (
            "a,b\nann,bob\n",
            "id,age,split\nann,1,train\nbob,2,later\n",
            "line 3: split is 'later'; it must be one of train",
        ),
        ("a,b\n", "id,age\nann,1\n", "edges.csv has no rows"),
        ("a\nann\n", "id,age\nann,1\nbob,2\n", "the first two must be the ends"),
    ],
)
def test_wrong_tables_are_named(tmp_path, edges, table, text):
    (tmp_path / "edges.csv").write_text(edges)
    (tmp_path / "nodes.csv").write_text(table)
    with pytest.raises(UsageError, match=text):
        files(str(tmp_path), 0.0)


def test_molecules_by_name(tmp_path):
    pytest.importorskip("rdkit")
    path = tmp_path / "it.csv"
    path.write_text("smiles,y,split\nCCO,1,train\nc1ccccc1,0,test\nnonsense,1,train\nC,0,val\n")
    with pytest.raises(UsageError, match=r"(?s)1 of 4 molecules cannot be read.*line 4: 'nonsense'"):
        files(str(path), 0.0)
    it = files(str(path), 0.5)
    assert isinstance(it, Graphs)
    assert [it.__getitems__([n]).total for n in range(3)] == [3, 6, 1]
    assert "1 molecules that RDKit cannot read left out" in it.describe()
    assert it.test.tolist() == [False, True, False]
    assert it.__getitems__([1]).edge_attr.argmax(1).tolist() == [1] * 12


# ------------------------------------------------------------------------------------------------- paths


def test_paths_that_hold_nothing_are_named(tmp_path):
    for name, text in (("missing", "no such file"), ("", "holds no graph"), ("it.txt", "of no form")):
        path = tmp_path / name
        if name.endswith("txt"):
            path.write_text("?")
        with pytest.raises(UsageError, match=text):
            files(str(path), 0.0)
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", **node_arrays())
    with pytest.raises(UsageError, match=r"a.npz, b.npz: name the one"):
        files(str(tmp_path), 0.0)
    with pytest.raises(ValueError, match="degrees is 1"):
        files(str(tmp_path / "a.npz"), 0.0, degrees=1)
