"""`unlabeled text decompound`: words and their parts, and how many are right."""

import pytest

from unlabeled.cli import main
from unlabeled_text.commands.decompound import accuracy


def test_accuracy_is_of_whole_words_without_case():
    pairs = [("Sea-Side", "sea-side"), ("m-at", "mat"), ("mat", "mat"), ("sea\u2010port", "sea-port"), ("a", "a-b")]
    assert accuracy(pairs) == "accuracy: compounds 66.7 % (of 3), other words 50.0 % (of 2), all 60.0 % (of 5)"


def test_words_are_printed_with_their_parts(tmp_path, capsys):
    run, small = str(tmp_path / "run"), ["--encoder.width", "32", "--encoder.depth", "1", "--steps", "2"]
    assert main(["text", "pretrain", "compoundpiece", "--out", run, *small]) == 0
    (tmp_path / "gold.tsv").write_text("seaside\tsea-side\nmat\tmat\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["text", "decompound", run, "--words", str(tmp_path / "gold.tsv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines[:2]] == ["seaside", "mat"]
    assert lines[2].startswith("accuracy: compounds ")
    assert main(["text", "decompound", run, "--text", "seaside mat"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("words", [[], ["--text", "a", "--words", "b"], ["--text", "a", "--beams", "0"]])
def test_mistakes_are_named(words, capsys):
    assert main(["text", "decompound", "nowhere", *words]) == 2
    assert "one of them: what is to be broken up" in (err := capsys.readouterr().err) or "beams is 0" in err
