"""`unlabeled text choose`: the texts that a small model finds hard and can learn."""

import pytest

from unlabeled.cli import main


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
