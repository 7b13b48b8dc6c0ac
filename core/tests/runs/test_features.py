"""Features as files: a row for each sample that went in, in its order, by its name, written as they are computed."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unlabeled.contract import View
from unlabeled.errors import UsageError
from unlabeled.runs import features
from unlabeled.runs.features import parts, save
from unlabeled.testing.toys import ToyEncoder, toy_batch

BAD = {"c.png": "no image"}  # by its header
CANNOT = {"d.png": "truncated"}  # when it is read


class Data:
    """Sequences of three rows; the third sample cannot be read."""

    classes = ("x", "y")

    def __init__(self, names=("a.png", "b.png", "d.png", "e.png"), bad=BAD, cannot=CANNOT):
        self.names, self.bad, self.cannot = list(names), dict(bad), cannot
        self.labels = torch.arange(len(names)) % 2
        self.test = self.labels == 1

    def __len__(self):
        return len(self.names)

    def __getitems__(self, ids):
        return toy_batch([i for i in ids if self.names[i] not in self.cannot], (3, 2))

    def report(self, batch):
        self.bad |= self.cannot
        return []


def still(batch, draw):
    return [View(batch, "clean")]


still.roles = ("clean",)


@pytest.fixture
def run():
    torch.manual_seed(0)
    return SimpleNamespace(encoder=ToyEncoder(2, 8, depth=2).eval(), views=still)


def joined(run, data, **options):
    found = list(parts(run, data, **{"batch_size": 2, "device": "cpu"} | options))
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_what_cannot_be_read_keeps_its_row_and_says_why(run, size):
    found = joined(run, Data(), batch_size=size)
    assert found["path"].tolist() == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert found["ids"].tolist() == [0, 1, -1, 2, 3]
    assert np.isnan(found["x"]).all(1).tolist() == [False, False, True, True, False]
    assert found["y"].tolist() == [0, 1, -1, 0, 1]
    assert found["split"].tolist() == ["train", "test", "", "train", "test"]
    assert found["bad"].tolist() == ["", "", "no image", "truncated", ""]
    whole = run.encoder(View(toy_batch([0, 1, 3], (3, 2)), "clean")).pooled.detach()
    np.testing.assert_allclose(found["x"][[0, 1, 4]], whole, atol=1e-6)


def test_or_is_left_out(run):
    found = joined(run, Data(), skip_bad=True)
    assert found["path"].tolist() == ["a.png", "b.png", "e.png"]
    assert np.isfinite(found["x"]).all()
    assert "bad" not in found


def test_what_cannot_be_read_may_come_last(run):
    data = Data(names=("a.png", "b.png", "d.png"))
    assert joined(run, data)["bad"].tolist() == ["", "", "no image", "truncated"]
    assert joined(run, data, skip_bad=True)["path"].tolist() == ["a.png", "b.png"]


def test_the_order_of_a_manifest_stays(run, tmp_path):
    data = Data(names=("b.png", "a.png", "d.png", "e.png"), bad={})
    found = joined(run, data)
    assert found["path"].tolist() == ["b.png", "a.png", "d.png", "e.png"]
    assert found["bad"].tolist() == ["", "", "truncated", ""]
    save(run, data, tmp_path / "f.npz", device="cpu")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        assert file["path"].tolist() == found["path"].tolist()
        np.testing.assert_allclose(file["x"], found["x"], atol=1e-6)


def test_a_row_a_token_with_its_place_in_the_sample(run):
    found = joined(run, Data(), features="tokens")
    assert found["path"].tolist() == [*["a.png"] * 3, *["b.png"] * 3, "c.png", "d.png", *["e.png"] * 3]
    assert found["token"].tolist() == [0, 1, 2, 0, 1, 2, -1, -1, 0, 1, 2]
    assert found["position"][:3].tolist() == [[0], [1], [2]]
    whole = run.encoder(View(toy_batch([0, 1, 3], (3, 2)), "clean")).tokens.detach()
    np.testing.assert_allclose(found["x"][found["token"] >= 0], whole, atol=1e-6)


def test_nodes_of_one_graph_are_a_token_each(run):
    class Nodes(ToyEncoder):
        def forward(self, view, **asked):
            out = super().forward(view, **asked)
            seeds = torch.arange(len(view.batch)) * 3 + 1  # the middle row of each is the sample
            return replace(out, layout=replace(out.layout, seeds=seeds))

    nodes = SimpleNamespace(encoder=Nodes(2, 8, depth=1).eval(), views=still)
    nodes.encoder.load_state_dict(run.encoder.state_dict(), strict=False)
    found = joined(nodes, Data(), features="tokens", skip_bad=True)
    tokens = nodes.encoder(View(toy_batch([0, 1, 3], (3, 2)), "clean")).tokens.detach()
    np.testing.assert_allclose(found["x"], tokens[[1, 4, 7]], atol=1e-6)


def test_a_column_a_layer_from_first_to_last(run):
    found = joined(run, Data(), features="layers", skip_bad=True)
    out = run.encoder(View(toy_batch([0, 1, 3], (3, 2)), "clean"), layers=(0, 1))
    assert [name for name in found if name.startswith("layer_")] == ["layer_1", "layer_2"]
    for name, layer in zip(("layer_1", "layer_2"), out.layers, strict=True):
        np.testing.assert_allclose(found[name], layer.pooled.detach(), atol=1e-6)


def test_an_encoder_without_layers_says_what_it_has(run):
    run.encoder.can = run.encoder.can - {"layers"}
    with pytest.raises(UsageError, match="--features pooled or tokens"):
        joined(run, Data(), features="layers")


def test_features_that_are_not_finite_leave_no_file(run, tmp_path):
    with torch.no_grad():
        run.encoder.cls.fill_(torch.nan)
    with pytest.raises(UsageError, match="2 of 2 samples are not finite"):
        save(run, Data(), tmp_path / "f.npz", batch_size=2, device="cpu")
    assert not list(tmp_path.iterdir())


class TestParquet:
    @pytest.mark.parametrize("what", ["pooled", "tokens", "layers"])
    def test_says_what_npz_says(self, run, tmp_path, what):
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
        found = joined(run, Data(), features=what)
        saved = save(run, Data(), tmp_path / "f.parquet", features=what, batch_size=2, device="cpu")
        table = parquet.read_table(tmp_path / "f.parquet")
        assert (saved.samples, saved.rows) == (3, 9 if what == "tokens" else 3)
        for name, column in found.items():
            shown = np.array(table[features.NAMES.get(name, name)].to_pylist())
            np.testing.assert_allclose(shown, column, atol=1e-6) if column.dtype.kind in "fi" else None
            assert column.dtype.kind in "fi" or shown.tolist() == column.tolist()
        assert table["class"].to_pylist()[0] == "x"

    def test_no_more_than_a_row_group_is_held(self, run, tmp_path, monkeypatch):
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
        monkeypatch.setattr(features, "ROWS", 8)
        held, most = [], [0]

        def counted(made):
            def make(*given):
                part = made(*given)
                rows = part["x"] if made is of_batch else part  # a table of pyarrow
                held.append((weakref.ref(rows), len(rows)))
                most[0] = max(most[0], sum(rows for part, rows in held if part() is not None))
                return part

            return make

        of_batch = features._part
        monkeypatch.setattr(features, "_part", counted(of_batch))
        monkeypatch.setattr(features, "_arrow", counted(features._arrow))
        data = Data(names=[f"{n:03}.png" for n in range(100)], bad={}, cannot={})
        save(run, data, tmp_path / "f.parquet", batch_size=4, device="cpu")
        assert most[0] <= 16, most
        file = parquet.ParquetFile(tmp_path / "f.parquet")
        assert file.num_row_groups == 13
        assert file.read()["path"].to_pylist() == data.names
