"""A text that is there twice is trained on once, and gets both of its rows back."""

import numpy as np
import pytest

import unlabeled
from unlabeled.cli.main import main

LINES = [f"text number {n} about the sea" for n in range(20)] + ["text number 3 about the sea"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("duplicates")
    (folder / "own.txt").write_text("\n".join(LINES))
    encoder = {"name": "modern", "width": 16, "depth": 1, "heads": 1}
    return unlabeled.pretrain(
        domain="text", recipe="mlm", data=folder / "own.txt", encoder=encoder, steps=1, batch_size=8,
        out=folder / "run", say=lambda line: None,
    )  # fmt: skip


def test_features_have_a_row_for_each_line(run, capsys):
    own, out = run.folder.parent / "own.txt", run.folder.parent / "f.npz"
    assert len(run.data(own)) == 20, "training and probes have it once"
    x, _ = run.embed(own)
    assert len(x) == 21
    assert main(["text", "embed", str(run.folder), "--data", str(own), "--out", str(out)]) == 0
    found = np.load(out, allow_pickle=False)["x"]
    assert len(found) == 21
    np.testing.assert_allclose(found[3], found[20], rtol=1e-5, atol=1e-6)
    assert "21 samples" in capsys.readouterr().out


def test_unless_asked(run):
    own = run.folder.parent / "own.txt"
    assert len(run.embed({"path": str(own), "dedup": True})[0]) == 20
