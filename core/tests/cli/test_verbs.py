"""What one does with a run, by command: embed, probe, finetune, export, preview, report."""

import importlib.util
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from unlabeled import UsageError, load
from unlabeled.runs import waiting

DATA = ("--data.samples", "32")


class TestEmbed:
    def test_npz(self, unlabeled, run, tmp_path):
        found = unlabeled("toy", "embed", run, "--out", "new/f.npz")
        assert found.code == 0, found.err
        assert found.out == "saved new/f.npz: 32 samples x 8 features\n"
        with np.load(tmp_path / "new" / "f.npz", allow_pickle=False) as file:
            assert file["x"].shape == (32, 8)
            assert file["y"].tolist() == [n % 4 for n in range(32)]
            assert file["ids"].tolist() == list(range(32))
            assert file["classes"].tolist() == ["a", "b", "c", "d"]
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["f.npz"]

    def test_parquet(self, unlabeled, run, tmp_path):
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
        assert unlabeled("toy", "embed", run, "--out", "f.parquet").code == 0
        assert unlabeled("toy", "embed", run, "--out", "f.npz").code == 0
        table = parquet.read_table("f.parquet")
        assert table.column_names == ["id", "features", "label", "bad", "class"]
        with np.load("f.npz", allow_pickle=False) as file:
            np.testing.assert_array_equal(np.array(table["features"].to_pylist(), np.float32), file["x"])
        assert table["class"].to_pylist()[:5] == ["a", "b", "c", "d", "a"]

    def test_without_labels(self, unlabeled, run, tmp_path):
        (tmp_path / "odd.txt").write_text("1\n2\n3\n")
        assert unlabeled("toy", "embed", run, "--data", "odd.txt", "--out", "f.npz").code == 0
        with np.load("f.npz", allow_pickle=False) as file:
            assert sorted(file) == ["classes", "ids", "x"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "--out is missing"),
            (["--out", "f.csv"], "--out f.csv: it must end in .npz or .parquet"),
            (["--out", "f.npz", "--data", "nowhere"], "--data nowhere: no such file or folder"),
            (["--out", "f.npz", "--device", "abacus"], "device 'abacus' cannot be used"),
            (["--out", "f.npz", "--features", "best"], "features"),
            (["--out", "f.npz", "--feature", "mean"], "Perhaps you meant --features"),
            (["--out", "."], "--out .: it must end in"),
        ],
    )
    def test_mistakes(self, unlabeled, run, words, message):
        found = unlabeled("toy", "embed", run, *words)
        assert found.code == 2, found
        assert message in found.err

    def test_parquet_without_its_package(self, unlabeled, run, monkeypatch):
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "pyarrow" else find(n, *a))
        found = unlabeled("toy", "embed", run, "--out", "f.parquet")
        assert found.code == 2
        assert "pip install 'unlabeled[parquet]'" in found.err


class TestProbe:
    def test_table_json_and_card(self, unlabeled, run):
        found = unlabeled("toy", "probe", run, "--seeds", "0", "--data.samples", "64", "--max-bad", "0.1")
        assert found.code == 0, found.err
        assert "64 " in found.out
        found = unlabeled("toy", "probe", run, "--seeds", "0", "--max-bad", "2")
        assert found.code == 2
        assert "--max-bad is 2.0; it must be a share in [0, 1]" in found.err
        assert "unknown flag --data.sample" in unlabeled("toy", "probe", run, "--data.sample", "64").err
        found = unlabeled("toy", "probe", run, "--seeds", "0", "--data", "centers")
        assert found.code == 0, found.err
        for row in ("chance", "no model: flat", "untrained: mlp", "pre-trained: mlp"):
            assert row in found.out
        saved = json.loads((run / "probes.json").read_text())
        assert [row["kind"] for row in saved["rows"]] == ["chance", "no model", "untrained", "pre-trained"]
        card = (run / "encoder" / "README.md").read_text()
        assert "untrained: mlp" in card
        assert "Nothing yet" not in card

    def test_a_part_of_the_table(self, unlabeled, run):
        found = unlabeled("toy", "probe", run, "--probes", "knn,linear", "--baselines", "none", "--quick")
        assert found.code == 0, found.err
        saved = json.loads((run / "probes.json").read_text())
        assert [row["kind"] for row in saved["rows"]] == ["chance", "pre-trained"]
        assert list(saved["specs"]) == ["knn", "linear"]
        assert list((run / "features").glob("*.pt"))
        found = unlabeled("toy", "probe", run, "--probes", "knn,liner")
        assert (found.code, found.err.count("\n")) == (2, 1)
        assert "no probe 'liner'. Perhaps you meant linear" in found.err

    def test_json(self, unlabeled, run):
        found = unlabeled("toy", "probe", run, "--seeds", "0", "--json")
        assert json.loads(found.out) == json.loads((run / "probes.json").read_text())

    def test_an_encoder_folder_alone(self, unlabeled, run):
        found = unlabeled("toy", "probe", run / "encoder")
        assert found.code == 2
        assert "is an encoder folder; its baselines need the run's config.yaml" in found.err


class TestFinetune:
    def test_both_rows(self, unlabeled, run):
        weights = (run / "encoder" / "model.safetensors").read_bytes()
        found = unlabeled("toy", "finetune", run, "--epochs", "2", "--batch-size", "8", "--seeds", "0,1")
        assert found.code == 0, found.err
        assert "from scratch" in found.out
        assert "pre-trained" in found.out
        assert "finetune-1" in found.out
        saved = json.loads((run / "finetune.json").read_text())
        assert len(saved["accuracy"]["pre-trained"]) == 2
        assert all(0 <= value <= 1 for values in saved["accuracy"].values() for value in values)
        assert saved["train"] + saved["test"] == 32
        assert (run / "encoder" / "model.safetensors").read_bytes() == weights

    def test_the_same_numbers_again(self, unlabeled, run):
        words = ("toy", "finetune", run, "--epochs", "2", "--batch-size", "8", "--json")
        assert unlabeled(*words).out == unlabeled(*words).out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--epochs", "0"], "finetune: epochs is 0; it must be above 0"),
            (["--lr", "-1"], "finetune: lr is -1.0"),
            (["--epoch", "3"], "unknown flag --epoch. Perhaps you meant --epochs INT"),
            (["--views", "nois"], "unknown views 'nois'"),
        ],
    )
    def test_mistakes(self, unlabeled, run, words, message):
        found = unlabeled("toy", "finetune", run, *words)
        assert found.code == 2
        assert message in found.err

    def test_without_labels(self, unlabeled, run, tmp_path):
        (tmp_path / "odd.txt").write_text("1\n2\n3\n")
        found = unlabeled("toy", "finetune", run, "--data", "odd.txt")
        assert found.code == 2
        assert "fine-tuning needs labels of two classes or more" in found.err

    def test_the_tuned_run_goes_on_through_the_other_commands(self, unlabeled, run, tmp_path):
        tuned = tmp_path / "tuned"
        words = ("--epochs", "1", "--batch-size", "8", "--layer-decay", "0.7", "--head-lr", "0.01", "--out", tuned)
        found = unlabeled("toy", "finetune", run, *words)
        assert found.code == 0, found.err
        assert f"saved {tuned}" in found.out
        assert "head lr 0.01, layer decay 0.7" in found.out
        for words in (("embed", tuned, "--out", tmp_path / "x.npz"), ("probe", tuned, "--seeds", "0"),
                      ("export", tuned), ("predict", tuned, "--out", tmp_path / "p.csv"),
                      ("predict", tuned, "--out", tmp_path / "p.parquet")):  # fmt: skip
            found = unlabeled("toy", *words)
            assert found.code == 0, found.err
        assert "32 samples predicted" in found.out
        assert (tmp_path / "p.csv").read_text().startswith("id,predicted,p_a,p_b,p_c,p_d,bad\n")
        weights = (tuned / "encoder" / "model.safetensors").read_bytes()
        resumed = unlabeled("toy", "pretrain", "--resume", "--out", tuned)
        assert resumed.code == 2
        assert f"--init {tuned} and a new --out" in resumed.err
        assert (tuned / "encoder" / "model.safetensors").read_bytes() == weights
        again = unlabeled("toy", "finetune", run, "--out", tuned)
        assert again.code == 2
        assert "not empty; a tuned model needs a new folder" in again.err


class TestPredict:
    def test_a_run_without_a_head(self, unlabeled, run):
        found = unlabeled("toy", "predict", run, "--out", "p.csv")
        assert found.code == 2
        assert "finetune" in found.err
        assert "--out FOLDER" in found.err

    def test_another_suffix(self, unlabeled, run):
        found = unlabeled("toy", "predict", run, "--out", "p.txt")
        assert found.code == 2
        assert "it must end in .csv or .jsonl or .parquet" in found.err


class TestExport:
    def test_native_prints_the_lines_that_load_it(self, unlabeled, run):
        found = unlabeled("toy", "export", run)
        assert found.code == 0, found.err
        assert f"load_file('{run}/export-native/weights.safetensors')" in found.out
        assert (run / "export-native" / "weights.safetensors").is_file()

    def test_another_folder(self, unlabeled, run, tmp_path):
        assert unlabeled("toy", "export", run, "--to", "native", "--out", "there").code == 0
        assert (tmp_path / "there" / "weights.safetensors").is_file()

    @pytest.mark.parametrize("words", [["--data", "centers"], ["--data.samples", "8"], ["--max-bad", "0.1"]])
    def test_data_that_it_does_not_read_is_not_passed_over(self, unlabeled, run, words):
        found = unlabeled("toy", "export", run, *words)
        assert (found.code, found.err.count("\n")) == (2, 1)
        assert "export --to native writes weights and reads no data" in found.err

    def test_no_data_is_opened_for_weights_alone(self, unlabeled, run, monkeypatch):
        monkeypatch.setattr("unlabeled.cli.command.open_data", lambda *given: 1 / 0)
        assert unlabeled("toy", "export", run).code == 0

    def test_an_unknown_format(self, unlabeled, run):
        found = unlabeled("toy", "export", run, "--to", "nativ")
        assert found.code == 2
        assert "unknown format 'nativ' in domain 'toy'. Perhaps you meant native." in found.err


def test_preview(unlabeled, tmp_path):
    found = unlabeled("toy", "preview", "--out", "a.png", "--n", "3", "--batch-size", "16")
    assert found.code == 0, found.err
    assert (tmp_path / "a.png").read_text() == "2 views of 3"


def test_report(unlabeled, run, monkeypatch):
    calls = []
    monkeypatch.setattr("unlabeled.report.write", lambda runs, out: calls.append((runs, out)), raising=False)
    assert unlabeled("report", run).out == f"saved {run / 'report.html'}\n"
    assert unlabeled("report", run, run).out == "saved report.html\n"
    assert [len(runs) for runs, _ in calls] == [1, 2]


class TestInterrupted:
    @pytest.fixture(params=["stopped", "killed as it went on", "killed before its encoder"])
    def left(self, request, run):
        """A run folder as it is left, and what is said of it."""
        path, metrics = run / "encoder" / "config.json", run / "metrics.jsonl"
        info = json.loads(path.read_text())
        steps = info["provenance"]["steps"]
        if request.param == "stopped":
            info["provenance"]["stopped"] = "interrupted"
            path.write_text(json.dumps(info))
            return f"{run} was interrupted after {steps} steps"
        if request.param == "killed as it went on":
            metrics.write_text(metrics.read_text() + '{"step": 900, "loss": 1.0}\n{"step": 910, "lo')
            return f"{run} was interrupted after 900 steps, and its encoder is of step {steps}"
        shutil.rmtree(run / "encoder")
        return f"{run} was interrupted before it wrote an encoder"

    def test_is_called_so_by_every_command_that_reads_it(self, unlabeled, run, left):
        quick = ["probe", run, "--quick", "--baselines", "none"]
        for words in (["embed", run, "--out", "f.npz"], ["export", run], ["finetune", run, "--epochs", "1"], quick,
                      ["predict", run, "--out", "p.csv"]):  # fmt: skip
            found = unlabeled("toy", *words)
            assert left in found.err, words
            assert "pretrain --resume --out" in found.err

    def test_and_by_the_report_and_in_python(self, unlabeled, run, left):
        pytest.importorskip("plotly", reason="the extra report is not installed")
        assert left in unlabeled("report", run).err
        assert left in (run / "report.html").read_text()
        if "before" in left:
            with pytest.raises(UsageError, match=re.escape(left)):
                load(run)
        else:
            with pytest.warns(UserWarning, match=re.escape(left)):
                load(run)

    def test_a_run_that_ended_is_not(self, unlabeled, run):
        assert "interrupted" not in unlabeled("toy", "embed", run, "--out", "f.npz").err
        load(run)


def test_a_first_line_comes_where_nothing_else_does(unlabeled, run, monkeypatch):
    class Now:
        """A timer whose time is over at once."""

        def __init__(self, seconds, say, words):
            self.start, self.cancel = lambda: say(*words), lambda: None

    monkeypatch.setattr(waiting, "threading", SimpleNamespace(Timer=Now))
    assert "embed: under way" in unlabeled("toy", "embed", run, "--out", "f.npz").err
    assert "reading centers" in unlabeled("toy", "pretrain", "--out", "new", "--epochs", "0").out


def test_a_run_of_another_domain(unlabeled, run, monkeypatch):
    path = run / "encoder" / "config.json"
    path.write_text(path.read_text().replace('"domain": "toy"', '"domain": "sea"'))
    found = unlabeled("toy", "embed", run, "--out", "f.npz")
    assert found.code == 2
    assert "unknown domain 'sea'" in found.err
