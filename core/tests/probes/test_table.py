import io
import json

import pytest
from rich.console import Console

from unlabeled.probes.table import Column, Number, Row, Table


@pytest.fixture
def table():
    few = Column("knn", "accuracy", "10 per class", "knn-v1", 30, 50)
    full = Column("knn", "accuracy", "all", "knn-v1", 100, 50)
    rank = Column("rankme", "rankme", "", "rankme-v1", 100, 0)
    seeds = (0, 1, 2)
    rows = (
        Row("chance", "", {few.key: Number((0.1,), (0,)), full.key: Number((0.1,), (0,))}),
        Row("untrained", "[red]net", {few.key: Number((0.5, 0.6, 0.7), seeds), rank.key: Number((3.5,), (0,))}),
    )
    specs = {"knn": "knn-v1: cosine", "rankme": "rankme-v1: eps"}
    data = {"description": "toy", "split": "fixed", "samples": 150}
    return Table("toy", data, seeds, specs, {"torch": "2"}, (few, full, rank), rows, ("a note",))


def shown(table, terminal):
    out = io.StringIO()
    table.print(Console(file=out, force_terminal=terminal, width=100))
    return out.getvalue()


def test_numbers():
    assert Number((0.5, 0.6, 0.7), (0, 1, 2)).show(percent=True) == "60.0 ± 10.0"
    assert Number((0.5,), (0,)).show(percent=True) == "50.0"
    assert Number((0.12345,), (0,)).show() == "0.123"
    assert Number((-3.14159, -3.14159), (0, 1)).show() == "-3.142 ± 0.000"
    assert Number((25.94,), (0,)).show() == "25.9"
    assert Number((1.0,), (0,)).deviation is None


def test_text_is_aligned_and_whole(table):
    lines = table.text().splitlines()
    assert lines[0] == "knn accuracy %       10 per class (30)  all (100)"
    assert lines[1] == "chance *                          10.0       10.0"
    assert lines[2] == "untrained: [red]net        60.0 ± 10.0          -"
    assert lines[4].split() == ["without", "labels", "rankme"]
    assert lines[5].split() == ["untrained:", "[red]net", "3.500"]
    assert "knn-v1: cosine" in lines
    assert "a note" in lines
    assert max(map(len, lines)) < 100


def test_a_pipe_gets_plain_text_and_a_terminal_a_drawn_table(table):
    assert shown(table, False) == table.text() + "\n"
    drawn = shown(table, True)
    assert "\x1b[" in drawn
    assert "60.0 ± 10.0" in drawn
    assert "[red]net" in drawn  # names are no markup


def test_to_dict_and_back(table):
    found = table.to_dict()
    assert Table.from_dict(json.loads(json.dumps(found))) == table
    number = found["rows"][1]["numbers"]["knn.accuracy@10 per class"]
    assert number == {
        "mean": pytest.approx(0.6),
        "deviation": pytest.approx(0.1),
        "values": (0.5, 0.6, 0.7),
        "seeds": (0, 1, 2),
    }
    assert found["columns"][0] == {
        "key": "knn.accuracy@10 per class",
        "probe": "knn",
        "number": "accuracy",
        "labels": "10 per class",
        "spec": "knn-v1",
        "n_train": 30,
        "n_test": 50,
    }


def test_other_content_is_refused(table):
    with pytest.raises(ValueError, match="no probe table"):
        Table.from_dict({"format": "other"})
    with pytest.raises(KeyError):
        table.row("pre-trained")


def test_the_best_row_stands_out_whoever_it_is():
    full, error = Column("linear", "accuracy", "all", "l", 9, 9), Column("ridge", "rmse", "", "r", 9, 9)
    rank = Column("rankme", "rankme", "", "rankme-v1", 100, 0)

    def row(kind, accuracy, wrong):
        return Row(kind, "", {c.key: Number((v,), (0,)) for c, v in ((full, accuracy), (error, wrong), (rank, 1.0))})

    rows = (row("chance", 0.1, 3.0), row("no model", 0.9, 2.0), row("pre-trained", 0.8, 1.0))
    table = Table("toy", {}, (0,), {}, {}, (full, error, rank), rows, ())
    assert [block.best for block in table.blocks()] == [{"no model"}, {"pre-trained"}, frozenset()]
    marked = [line for line in table.text().splitlines() if " * " in line]
    assert [line.split(" * ")[0] for line in marked] == ["no model", "pre-trained"]
    assert "* is the best row of its block" in table.text()
    bold = [line for line in shown(table, True).splitlines() if "\x1b[1m" in line]
    assert any("no model" in line and "90.0" in line for line in bold)
    assert not any("pre-trained" in line and "80.0" in line for line in bold)


def test_details_come_back():
    table = Table("toy", {}, (0,), {}, {}, (), (), (), {"knn": {"per_class": [{"class": "a"}], "confusion": [[1]]}})
    assert Table.from_dict(json.loads(json.dumps(table.to_dict()))) == table
