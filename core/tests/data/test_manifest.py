"""Manifests: which columns are read as what, in every format, and what is refused with its line."""

import json
import math
import subprocess
import sys
from typing import Any, Unpack

import pytest
import torch

from unlabeled.data.known import Known
from unlabeled.data.manifest import Columns, read_manifest, refuse_columns
from unlabeled.data.stretches import Stretch
from unlabeled.errors import UsageError

PATHS = ("path", "file", ("text_a", "text_b"))


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes, name: str = "m.csv", columns: dict[str, Any] | None = None, **more: Any):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return read_manifest(tmp_path / name, PATHS, columns, **more)

    return read


ROWS = [
    {"path": "a.png", "label": "cat", "price": 1.5, "group": "p1", "fold": 1, "split": "train"},
    {"path": "b.png", "label": None, "price": None, "group": "p1", "fold": 2, "split": "dev"},
    {"path": "/c, d.png", "label": "dog", "price": 3, "group": None, "fold": 1, "split": "Test"},
]


def _write(path, rows):
    names = list(rows[0])
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow as pa

        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in rows))
    else:
        mark = {".tsv": "\t", ".csv": ","}[path.suffix]

        def cell(value):
            text = "" if value is None else str(value)
            return f'"{text}"' if mark in text else text

        lines = [names, *([cell(row[name]) for name in names] for row in rows)]
        path.write_text("\n".join(mark.join(line) for line in lines) + "\n", encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
def test_every_format_says_the_same(tmp_path, suffix):
    found = read_manifest(_write(tmp_path / f"m{suffix}", ROWS), PATHS, {"target": "price"})
    assert found.names == ["a.png", "b.png", "/c, d.png"]
    known = found.known()
    assert (known.labels.tolist(), known.classes) == ([0, -1, 1], ("cat", "dog"))
    assert (known.test.tolist(), known.val.tolist()) == ([False, False, True], [False, True, False])
    assert known.folds.tolist() == [0, 1, 0]
    assert known.groups[:2] == ("p1", "p1")
    assert known.groups[2] not in ("p1", "")
    assert (known.targets.kind, known.targets.names) == ("regression", ("price",))
    assert [str(v) for v in known.targets.values[:, 0].tolist()] == ["1.5", "nan", "3.0"]


def test_rows_that_are_left_keep_their_classes_and_order(tmp_path):
    known = read_manifest(_write(tmp_path / "m.csv", ROWS), PATHS, {"target": "price"}).known([2, 0, 2])
    assert (known.labels.tolist(), known.classes) == ([1, 0, 1], ("cat", "dog"))
    assert known.targets.values[:, 0].tolist() == [3.0, 1.5, 3.0]
    assert known.groups[1] == "p1"
    assert known.test.tolist() == [True, False, True]


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_a_csv_is_split_as_its_header_shows(read, delimiter):
    found = read(f"path{delimiter}label\na.png{delimiter}x\n")
    assert (found.names, found.labels) == (["a.png"], ["x"])


def test_paths_are_as_the_manifest_gives_them(read, tmp_path):
    (tmp_path / "in").mkdir()
    found = read(f"path\nin\\a.png\n{tmp_path}/b.png\n")
    assert found.paths == ["in/a.png", f"{tmp_path}/b.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.png,x\nb, c.png,y\n", r"m.csv, line 3 has 3 fields, and the header has 2; quote what"),
        ("path,label\na.png,x\n\nb.png\n", r"m.csv, line 4 has 1 fields, and the header has 2"),
        ('path,label\na.png,"x\ny"\nb.png\n', r"line 4 has 1 fields"),
        ('path,label\na.png,"x\n', r"line 2 is no valid CSV"),
        ("path,label,Label\na.png,x,y\n", r"two columns called 'Label'"),
        ("path,,label\na.png,x,y\n", r"column 2 of its header has no name"),
        ("path,label\na.png,x\n,y\n", r"line 3: nothing in column path"),
        ("path,split\na.png,train\nb.png,tset\n", r"line 3: split is 'tset'; it must be one of train"),
        ("path,target\na.png,1\nb.png,high\n", r"line 3: target is 'high'; it must be a number"),
        ("path,target\na.png,1\nb.png,inf\n", r"line 3: target is 'inf'; it must be a number"),
        ("path,labels.x,labels.y\na.png,1,0\nb.png,2,0\n", r"line 3: labels.x is 2; a column of one label"),
        ('path,labels\na.png,"[1, 2"\n', r"line 2: labels is .* no JSON list"),
        ("picture,label\na.png,x\n", r"columns picture, label; .*--data.column.*path, file, text_a and text_b"),
        ("path,label\n", "has no rows"),
        ("", "is empty"),
        (b"\xff\xfep\x00", "it is UTF-16"),
        (b"path\x00,label\n", "it has NUL bytes"),
        (b"path,label\na.png,caf\xe9\n", "byte 20 is not valid UTF-8"),
        ("path,labels,target\na.png,x|y,1\nb.png,x,2\n", "leave one of them out with --data.labels none or"),
    ],
)
def test_mistakes_are_named_with_their_line(read, content, message):
    with pytest.raises(UsageError, match=message):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"path": "a", "path": "b"}\n', "line 1 has 'path' twice"),
        ('{"path": "a"}\n[1]\n', "line 2 is a list"),
        ('{"path": "a"}\n{"path": \n', "line 2 is no JSON"),
        ('{"path": {"x": 1}}\n', "line 1: path holds a dict"),
    ],
)
def test_mistakes_of_json_lines_are_named_with_their_line(read, content, message):
    with pytest.raises(UsageError, match=message):
        read(content, "m.jsonl")


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "NA", "N/A", "null", "None", "<NA>"])
def test_missing_values_are_unknown(read, missing):
    found = read(f"path,label,target\na.png,1,0.5\nb.png,{missing},{missing}\n")
    assert found.labels == ["1", None]
    assert math.isnan(found.targets[1][0])


@pytest.mark.parametrize(
    ("cells", "classes"),
    [(("3", "10", "3"), ("3", "10")), (("3.0", "nan", "10.0"), ("3", "10")), (("0.5", "1", "2"), ("0.5", "1", "2"))],
)
def test_numbers_in_label_are_classes(read, cells, classes):
    known = read("path,label\n" + "".join(f"{n}.png,{c}\n" for n, c in enumerate(cells))).known()
    assert known.classes == classes
    assert known.targets is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", "path,labels\na,x|y\nb,\nc,z\n"),
        ("m.csv", 'path,labels\na,"x;y"\nb,NA\nc,z\n'),
        ("m.csv", 'path,labels\na,"x, y"\nb,\nc,z\n'),
        ("m.csv", 'path,labels\na,"[""x"", ""y""]"\nb,\nc,"[""z""]"\n'),
        ("m.csv", "path,labels.x,labels.y,labels.z\na,1,1,0\nb,,,\nc,0,false,True\n"),
        ("m.jsonl", '{"path": "a", "labels": ["x", "y"]}\n{"path": "b"}\n{"path": "c", "labels": ["z"]}\n'),
    ],
)
def test_several_labels_a_row(read, name, content):
    found = read(content, name).known()
    assert found.labels is None
    assert (found.targets.kind, found.targets.names) == ("multilabel", ("x", "y", "z"))
    assert found.targets.values[[0, 2]].tolist() == [[1, 1, 0], [0, 0, 1]]
    assert found.targets.values[1].isnan().all()


def test_no_label_is_known_where_a_list_is_empty(read):
    found = read('{"path": "a", "labels": ["x", "y"]}\n{"path": "b", "labels": []}\n', "m.jsonl").known()
    assert found.targets.values.tolist() == [[1, 1], [0, 0]]


def test_one_label_in_every_row_is_a_class(read):
    known = read("path,labels\na,x\nb,y\nc,x\n").known()
    assert (known.classes, known.targets) == (("x", "y"), None)


def test_targets_of_several_columns(read):
    table = "path,label,target.a,target.b,c\nx,k,1,2,7\ny,l,,4,8\n"
    usual, asked = read(table), read(table, columns={"target": "c, target.b"})
    assert (usual.target_names, usual.targets[0]) == (("a", "b"), [1.0, 2.0])
    assert (asked.target_names, asked.targets) == (("c", "b"), [[7.0, 2.0], [8.0, 4.0]])
    assert usual.labels == ["k", "l"]


def test_a_target_of_words_or_that_counts_the_classes_is_none(read):
    words = read("path,target\na,good\nb,bad\nc,\n")
    assert (words.labels, words.targets) == (["good", "bad", None], None)
    counts = read("path,target,category\na,0,dog\nb,14,rain\nc,0,dog\n")
    assert (counts.labels, counts.targets) == (["dog", "rain", "dog"], None)
    asked = read("path,target\na,0\nb,4\n", columns={"label": "target"})
    assert (asked.labels, asked.targets) == (["0", "4"], None)


def test_groups_that_share_a_speaker_or_a_recording_are_together(read):
    found = read("path,speaker,recording_id\na,s1,r1\nb,s1,r2\nc,s2,r2\nd,s3,r3\ne,,r4\n").groups
    assert len({*found[:3]}) == 1
    assert len(set(found)) == 3
    assert read("path,patient\na,1\nb,1\nc,2\n").groups == ("1", "1", "2")
    assert read("path,patient,group\na,1,x\nb,1,y\n").groups == ("x", "y")
    assert read("path,patient\na,1\nb,1\n", columns={"group": "none"}).groups is None


def test_a_usual_group_that_is_the_class_is_no_group(read):
    table = "path,label,speaker\na,x,1\nb,y,2\nc,x,1\nd,y,2\n"
    assert read(table).groups is None
    assert read(table, columns={"group": "speaker"}).groups == ("1", "2", "1", "2")
    assert read(table.replace("d,y", "d,")).groups == ("1", "2", "1", "2")


def test_a_fold_of_sides_is_the_split(read):
    found = read("path,fold\na,train\nb,test\n")
    assert (found.folds, found.sides) == (None, ["train", "test"])
    assert read("path,fold\na,\nb,10\nc,2\n").folds == [-1, 1, 0]
    assert read("path,subset\na,easy\nb,hard\n").sides is None


@pytest.mark.parametrize("role", ["column", "label", "labels", "target", "group", "fold", "split"])
def test_any_column_by_its_name_and_those_that_there_are(read, role):
    with pytest.raises(UsageError, match=r"no column 'lable'. Perhaps you meant label. Known: path, label, z."):
        read("path,label,z\na,1,2\n", columns={role: "lable"})
    assert len(read("Path,LABEL,z\na,1,train\nb,2,train\n", columns={role: "Z" if role != "target" else "label"})) == 2


def test_pairs_and_parts(read):
    pair = read("text_a,text_b,score\nx y,z,0.5\nu,v,NA\n", pairs=True)
    assert (pair.samples[0], pair.scores[0]) == (("x y", "z"), 0.5)
    with pytest.raises(UsageError, match="line 2: score is 'near'"):
        read("text_a,text_b,score\nx,z,near\n", pairs=True)
    assert read("title,body\nx,z\n", columns={"column": "title+body"}).samples == (("x", "z"),)
    part = read("path,onset,offset\na,0.5,2\nb,,\n", parts=True)
    assert part.stretches == [Stretch(0.5, 2.0), Stretch(0.0, None)]
    named = read("path,t0,dt\na,0.5,2\n", columns={"start": "t0", "duration": "dt"}, parts=True)
    assert named.stretches == [Stretch(0.5, 2.5)]
    with pytest.raises(UsageError, match="num_frames, in samples"):
        read("path,num_frames\na,100\n", parts=True)
    with pytest.raises(UsageError, match=r"line 2: from 1 s to 0.5 s is no stretch"):
        read("path,start,end\na,1,0.5\n", parts=True)


def test_parquet_cells_that_are_no_text(tmp_path):
    parquet, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(pa.table({"path": [b"a", b"\xff"], "label": [1.0, float("nan")]}), tmp_path / "m.parquet")
    with pytest.raises(UsageError, match=r"m.parquet, row 2: path holds bytes that are no UTF-8"):
        read_manifest(tmp_path / "m.parquet", PATHS)
    parquet.write_table(pa.table({"path": ["a", "b"], "label": [1.0, float("nan")]}), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet", PATHS).labels == ["1", None]


def test_columns_of_what_is_no_manifest_are_refused(tmp_path):
    refuse_columns(tmp_path, {"label": "", "group": "none", "classes": "keep"})
    with pytest.raises(UsageError, match=r"is no manifest, so it has no column 'x': leave --data.label out"):
        refuse_columns(tmp_path, {"label": "x"})


def test_a_manifest_is_read_without_torch(tmp_path):
    (tmp_path / "m.csv").write_text("path,label\na,x\n")
    code = (
        "import sys; from pathlib import Path; from unlabeled.data.manifest import read_manifest;"
        f"read_manifest(Path({str(tmp_path / 'm.csv')!r}), ('path',)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_known_sets_what_the_contract_names():
    class Set:
        def __init__(self, **columns: Unpack[Columns]) -> None:
            Known.by_name(["b", None, "a"], ["train", "val", "test"], groups=("x", "y", "z")).onto(self)

    data: Any = Set()
    assert (data.labels.tolist(), data.classes, data.targets) == ([1, -1, 0], ("a", "b"), None)
    assert torch.equal(data.test, torch.tensor([False, False, True]))
    assert not hasattr(data, "scores")
