import json
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from unlabeled.errors import PluginError, UsageError
from unlabeled.probes.table import Column, Number, Row, Table
from unlabeled.report import write

EVIL = "<script>alert(1)</script>&co"


class Reader(HTMLParser):
    """Text outside scripts, the scripts, all tags, and what is loaded from elsewhere."""

    def __init__(self, page):
        super().__init__()
        self.text, self.scripts, self.open, self.loads, self.tags = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)


def probe_table():
    column = Column("knn", "accuracy", "all", "knn-v1", 100, 50)
    rank = Column("rankme", "rankme", "", "rankme-v1", 100, 0)
    kinds = ("chance", "no model", "untrained", "pre-trained")
    rows = tuple(
        Row(kind, EVIL if number > 1 else "", {column.key: Number((number / 8, number / 8 + 0.01), (0, 1))})
        for number, kind in enumerate(kinds, 1)
    )
    specs = {"knn": "knn-v1: cosine", "rankme": "rankme-v1"}
    data = {"description": f"toy {EVIL}", "split": "fixed"}
    score = {"class": EVIL, "precision": 0.25, "recall": 0.5, "f1": 0.125, "count": 7}
    details = {"knn": {"per_class": [score], "confusion": [[7]]}}
    return Table("toy", data, (0, 1), specs, {"torch": "9.9.9"}, (column, rank), rows, ("a note",), details)


def run_folder(path, probes=True, metrics=True, loss=3.0):
    path.mkdir()
    (path / "config.yaml").write_text(
        f"domain: toy\nobjective: {{name: vicreg}}\nencoder: {{name: net}}\n# {EVIL}\n", encoding="utf-8"
    )
    if metrics:
        rows = [
            {"step": 10 * n, "epoch": n / 2, "loss": loss - n, "parts": {"invariance": n, EVIL: 1.0}, "lr": 0.1}
            | {"samples_per_second": 99.0, "data_wait": 0.1, "rank": 7.0, "deviation": 0.5, "projector_rank": 5.0}
            for n in range(1, 4)
        ]
        rows.append({"step": 30, "knn": 0.875})
        (path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"step": 40, "lo')
    if probes:
        (path / "probes.json").write_text(json.dumps(probe_table().to_dict()))
    return path


def read(path):
    page = path.read_text(encoding="utf-8")
    reader = Reader(page)
    assert reader.open == []  # every tag was closed
    return page, reader, " ".join(reader.text)


def test_one_run(tmp_path):
    run = run_folder(tmp_path / "first")
    out = write([run])
    assert out == run / "report.html"
    _, reader, text = read(out)
    for wanted in ("first", "vicreg", "knn accuracy %", "untrained", "no model", "chance", "50.5 ± 0.7", "a note"):
        assert wanted in text
    for wanted in ("knn-v1: cosine", "torch 9.9.9", "domain: toy"):
        assert wanted in text
    figures = " ".join(reader.scripts[1:])
    for wanted in (
        "Loss",
        "Loss term: invariance",
        "Effective rank",
        "Learning rate",
        "Samples per second",
        "Online kNN accuracy",
    ):
        assert wanted in figures
    assert "0.875" in figures


def test_each_class_stands_in_the_page_and_the_best_row_is_bold(tmp_path):
    page, _, text = read(write([run_folder(tmp_path / "first")]))
    for wanted in ("knn: each class", "true class, guessed as", "25.0", "12.5"):
        assert wanted in text
    assert page.count('<tr class="trained best"><td>pre-trained') == 1
    table = probe_table()
    flipped = replace(table, rows=tuple(replace(r, numbers=o.numbers) for r, o in zip(table.rows, table.rows[::-1])))
    (tmp_path / "first" / "probes.json").write_text(json.dumps(flipped.to_dict()))
    page, _, _ = read(write([tmp_path / "first"]))
    assert '<tr class="best"><td>chance' in page


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    _, reader, _ = read(write([run_folder(tmp_path / "first")]))
    assert reader.loads == []
    assert len(reader.scripts[0]) > 1_000_000  # plotly stands in the page
    assert sum(len(script) > 1_000_000 for script in reader.scripts) == 1


def test_text_is_escaped(tmp_path):
    page, reader, text = read(write([run_folder(tmp_path / "a&b<i>")]))
    assert EVIL not in page
    assert EVIL in text  # as text, after unescaping
    assert "a&b<i>" in text
    assert "i" not in reader.tags


def test_runs_are_compared(tmp_path):
    runs = [run_folder(tmp_path / "first"), run_folder(tmp_path / "second", loss=9.0)]
    out = write(runs, tmp_path / "deep" / "both.html")
    _, reader, text = read(out)
    assert "2 runs" in text
    assert "Pre-trained encoders compared" in text
    loss = next(script for script in reader.scripts[1:] if '"Loss"' in script)
    assert "first" in loss
    assert "second" in loss


def test_same_names_are_told_apart(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    runs = [run_folder(tmp_path / "x" / "run"), run_folder(tmp_path / "y" / "run")]
    _, _, text = read(write(runs, tmp_path / "both.html"))
    assert str(runs[0]) in text
    assert str(runs[1]) in text


def test_missing_parts_are_said(tmp_path):
    _, _, text = read(write([run_folder(tmp_path / "bare", probes=False, metrics=False)]))
    assert "No probes.json" in text
    assert "No metrics.jsonl" in text


def test_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="no run to report on"):
        write([])
    with pytest.raises(UsageError, match=r"it has no config\.yaml"):
        write([tmp_path])
    run = run_folder(tmp_path / "a")
    (run / "metrics.jsonl").write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(UsageError, match="line 1, is not valid JSON"):
        write([run])
    run = run_folder(tmp_path / "b")
    (run / "probes.json").write_text('{"format": "old"}')
    with pytest.raises(UsageError, match=r"probes\.json cannot be read"):
        write([run])


def test_without_plotly(tmp_path, monkeypatch):
    run = run_folder(tmp_path / "first")
    for name in [name for name in sys.modules if name.split(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(PluginError, match=r"pip install 'unlabeled\[report\]'"):
        write([run])
    assert not (run / "report.html").exists()
