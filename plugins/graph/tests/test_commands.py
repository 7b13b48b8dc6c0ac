"""What the commands of this domain write."""

import numpy as np

from unlabeled.cli import main


def test_summaries_are_written_for_the_objective(tmp_path, capsys):
    words, out = ["graph", "texts", "--data", "karate", "--out"], tmp_path / "texts.npz"
    assert main([*words, str(out)]) == 0
    assert np.load(out)["embeddings"].shape == (34, 256)
    assert "34 embeddings of 256 numbers" in capsys.readouterr().out
    lines = tmp_path / "lines.txt"
    lines.write_text("one\ntwo\n")
    assert main([*words, str(out), "--lines", str(lines)]) == 2
    assert "has 2 lines; the data has 34 samples" in capsys.readouterr().err
    assert main([*words, "texts.csv"]) == 2
    assert "--out is texts.csv; it must end in .npz" in capsys.readouterr().err
