"""`unlabeled text choose`: the texts that a small model finds hard and can learn."""

import pytest
import torch

from unlabeled.cli import main
from unlabeled_text.commands.choose import scores


def test_score_is_the_median_loss_of_likely_words():
    logits = torch.tensor([[0.0, 1.0, 5.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 1.0, 9.0]])
    words, group = torch.tensor([1, 0, 1, 0]), torch.tensor([0, 0, 0, 2])
    loss = torch.nn.functional.cross_entropy(logits, words, reduction="none")
    found = scores(logits, words, group, 3, likely=2)
    assert found[0] == loss[:3].sort().values[1]
    assert found[1] == 0  # no word
    assert found[2] == 0  # its word is not among the two likeliest
    assert scores(logits, words, group, 3, likely=1)[0] == loss[:3].sort().values[0]


def test_choose_writes_the_texts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    texts = [f"the {a} cat sat on the {b} mat" for a in ("old", "red", "big") for b in ("blue", "wet", "thin", "new")]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    small = ["--encoder.width", "16", "--encoder.depth", "1", "--batch-size", "4", "--steps", "2"]
    assert main(["text", "pretrain", "clm", "--data", "texts.txt", "--out", "small", *small]) == 0
    assert main(["text", "choose", "small", "--data", "texts.txt", "--out", "chosen.txt", "--share", "0.5"]) == 0
    chosen = (tmp_path / "chosen.txt").read_text(encoding="utf-8").splitlines()
    assert len(chosen) == 6
    assert "6 of 12 texts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--out", "x.txt"], "nowhere: no such folder"),
        ([], "found 2 errors:\n  --out is missing"),
        (["nowhere", "--out", "x.txt", "--share", "2"], "choose: share is 2.0"),
        (["nowhere", "--out", "x.txt", "--likely", "0"], "choose: likely is 0"),
    ],
)
def test_mistakes_are_named(capsys, words, message):
    assert main(["text", "choose", *words]) == 2
    assert message in capsys.readouterr().err
