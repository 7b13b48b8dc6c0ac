"""Tables are read by the names of their columns, and a missing value is unknown however it is written."""

import json

import numpy as np
import pytest
import torch

from unlabeled.cli.main import main
from unlabeled.errors import UsageError
from unlabeled_graph.data.files import files

TRIANGLE = {("1", "2"), ("2", "3"), ("3", "1")}


def links_of(it):
    return {tuple(sorted((it.names[a], it.names[b]))) for a, b in it.graph.edges.T.tolist()}


@pytest.mark.parametrize(
    "header",
    [",source,target,weight", "index,from,weight,to", "weight,Src,idx,Dst",
     "weight,source_id,target_id,index", "Unnamed: 0,SourceNodeID,TargetNodeID,weight"],
)  # fmt: skip
def test_ends_of_edges_are_found_by_name(tmp_path, header):
    names = header.lower().split(",")
    starts, stops = ("so", "fr", "sr"), ("ta", "to", "ds")
    lines = []
    for number, (a, b) in enumerate(sorted(TRIANGLE)):
        fields = []
        for name in names:
            kind = a if name[:2] in starts else b if name[:2] in stops else 0.5 if name == "weight" else number
            fields.append(str(kind))
        lines.append(",".join(fields))
    (tmp_path / "edges.csv").write_text("\n".join([header, *lines]))
    it = files(str(tmp_path), 0.0)
    assert links_of(it) == {tuple(sorted(pair)) for pair in TRIANGLE}
    assert it.graph.edge_attr.unique().tolist() == [0.5]
    assert "not read" in it.describe()


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (",a,b", "call the ends of an edge source and target"),
        ("weight,a,b", "call the ends of an edge source and target"),
        ("1,2,3", "call the ends of an edge source and target"),
        ("source,x,y", "one 'source' and one 'target'"),
        ("a,a,b", "two columns called 'a'"),
    ],
)
def test_ends_that_are_not_told_are_asked_for(tmp_path, header, text):
    (tmp_path / "edges.csv").write_text(f"{header}\n1,2,3\n")
    with pytest.raises(UsageError, match=text):
        files(str(tmp_path), 0.0)


def test_a_table_of_something_else_is_no_graph(tmp_path):
    (tmp_path / "it.csv").write_text("name,price\nCCO,1\nCCC,0\n")
    with pytest.raises(UsageError, match="has columns name, price: molecules need one called 'smiles'"):
        files(str(tmp_path / "it.csv"), 0.0)
    (tmp_path / "it.tsv").write_text("source\ttarget\n1\t2\n")
    assert len(files(str(tmp_path / "it.tsv"), 0.0)) == 2


def test_nodes_are_named_by_their_id_wherever_it_stands(tmp_path):
    (tmp_path / "edges.csv").write_text("source,target\nann,bob\n")
    (tmp_path / "nodes.csv").write_text(",age,label,id,fold\n0,30,red,ann,1\n1,40,NaN,bob,2\n")
    it = files(str(tmp_path), 0.0)
    assert it.names == ("ann", "bob")
    assert it.graph.x.flatten().tolist() == [30, 40]
    assert (it.all_labels.tolist(), it.classes, it.folds.tolist()) == ([0, -1], ("red",), [0, 1])
    (tmp_path / "nodes.csv").write_text("label,age\nred,30\nblue,40\n")
    with pytest.raises(UsageError, match="one must be the 'id'"):
        files(str(tmp_path), 0.0)


def test_a_label_of_a_timestamp_is_one_class(tmp_path):
    (tmp_path / "edges.csv").write_text("source,target\n0,1\n")
    (tmp_path / "nodes.csv").write_text("id,label\n0,20231104120000\n1,7\n")
    assert files(str(tmp_path), 0.0, split="none").classes == ("7", "20231104120000")


# ------------------------------------------------------------------------------------------------- molecules


def molecules(tmp_path, text, **columns):
    pytest.importorskip("rdkit")
    (tmp_path / "it.csv").write_text(text)
    return files(str(tmp_path / "it.csv"), 0.0, **columns)


@pytest.mark.parametrize("missing", ["", "nan", "NA", "N/A", "None", "null", "?"])
def test_a_missing_label_is_unknown(tmp_path, missing):
    assert molecules(tmp_path, f"smiles,y\nCCO,{missing}\nCCC,1\nCC,0\n").labels.tolist() == [-1, 1, 0]
    named = molecules(tmp_path, f"smiles,y\nCCO,{missing}\nCCC,no\nCC,yes\n")
    assert (named.labels.tolist(), named.classes) == ([-1, 0, 1], ("no", "yes"))


def test_columns_of_a_bench_of_assays_are_targets(tmp_path):
    it = molecules(tmp_path, "NR-AR,mol_id,SR-p53,smiles,note\n0,T1,1,CCO,a\n,T2,0,CCC,b\n1,T3,nan,CC,c\n")
    assert (it.targets.kind, it.targets.names) == ("multilabel", ("NR-AR", "SR-p53"))
    nan = float("nan")
    wanted = torch.tensor([[0, 1], [nan, 0], [1, nan]])
    torch.testing.assert_close(it.targets.values, wanted, equal_nan=True)
    assert "it.csv: not read: mol_id, note" in it.describe()
    assert it.names == ("CCO", "CCC", "CC")


def test_numbers_of_molecules_are_targets_with_their_test_set(tmp_path):
    it = molecules(tmp_path, "smiles,y,split,scaffold\nCCO,0.5,train,a\nCCC,1.5,val,b\nCC,-2,test,c\n")
    assert (it.targets.kind, it.labels) == ("regression", None)
    assert (it.test.tolist(), it.val.tolist()) == ([False, False, True], [False, True, False])
    assert it.groups == ("a", "b", "c")


def test_a_column_of_smiles_by_another_name(tmp_path):
    assert len(molecules(tmp_path, "canonical_smiles,y\nCCO,1\nCCC,0\n")) == 2
    with pytest.raises(UsageError, match="call the one that is meant 'smiles'"):
        molecules(tmp_path, "canonical_smiles,raw_smiles\nCCO,CCO\n")


def test_columns_are_named_as_in_every_domain(tmp_path):
    text = "smiles,y,kind,logp,tags\nCCO,1,a,0.5,x|y\nCCC,0,b,,y\nCC,0,a,2,\n"
    named = molecules(tmp_path, text, label="kind")
    assert (named.classes, named.labels.tolist()) == (("a", "b"), [0, 1, 0])
    numbers = molecules(tmp_path, text, target="logp")
    assert (numbers.labels, numbers.targets.kind, numbers.targets.names) == (None, "regression", ("logp",))
    assert torch.equal(numbers.targets.values[[0, 2], 0], torch.tensor([0.5, 2.0]))
    several = molecules(tmp_path, text, labels="tags")
    assert (several.targets.kind, several.targets.names) == ("multilabel", ("x", "y"))
    both = molecules(tmp_path, text, label="kind", target="logp")
    assert (both.labels.tolist(), both.targets.names) == ([0, 1, 0], ("logp",))
    with pytest.raises(UsageError, match="no column 'colour'"):
        molecules(tmp_path, text, label="colour")


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".parquet"])
def test_tables_of_every_form(tmp_path, suffix):
    rows = [{"smiles": "CCO", "y": 1, "split": "train"}, {"smiles": "CCC", "y": 0, "split": "dev"}]
    path = tmp_path / f"it{suffix}"
    if suffix == ".parquet":
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    elif suffix == ".tsv":
        path.write_text("smiles\ty\tsplit\n" + "\n".join("\t".join(map(str, row.values())) for row in rows))
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    pytest.importorskip("rdkit")
    it = files(str(path), 0.0, split="none")
    assert (it.names, it.labels.tolist()) == (("CCO", "CCC"), [1, 0])
    assert {name: ids.tolist() for name, ids in it.raw.sets.items()} == {"train": [0], "val": [1]}


def test_a_column_of_what_has_none_is_refused(tmp_path):
    np.savez(tmp_path / "it.npz", x=np.eye(2), edge_index=np.array([[0, 1], [1, 0]]))
    (tmp_path / "edges.csv").write_text("source,target\n0,1\n")
    for path in (tmp_path / "it.npz", tmp_path):
        with pytest.raises(UsageError, match=r"so it has no column .kind.: leave --data\.label out"):
            files(str(path), 0.0, label="kind")


def test_classes_that_are_none_are_asked_about(tmp_path, capsys):
    pytest.importorskip("rdkit")
    rows = "\n".join(f"{'C' * n},name{n}" for n in range(1, 9))
    (tmp_path / "it.csv").write_text(f"smiles,label\n{rows}\n")
    command = ["graph", "pretrain", "infograph", "--data", str(tmp_path / "it.csv"), "--out", str(tmp_path / "run")]
    assert main(command) == 2
    assert "8 classes of 8 labeled samples" in capsys.readouterr().err
