"""`unlabeled text lexicon`: two languages' words by the vectors of a run."""

from types import SimpleNamespace

import pytest
import torch

from unlabeled.cli import main
from unlabeled.errors import UsageError
from unlabeled_text.commands.lexicon import Languages, lexicon, vectors, words_in
from unlabeled_text.ops.tokenizing import json_spec, train
from unlabeled_text.views.words import pairs_of

ONE = ["house", "red", "cat", "old", "dog", "tree", "stone", "water", "anna", "paris", "taxi", "radio", "hotel", "oslo"]
OTHER = ["haus", "rot", "katze", "alt", "hund", "baum", "stein", "wasser", *ONE[8:]]


@pytest.fixture
def files(tmp_path):
    for name, words in (("one.txt", ONE), ("other.txt", OTHER)):
        (tmp_path / name).write_text("\n".join([" ".join(words)] * 5 + ["seldom"]), encoding="utf-8")
    return tmp_path / "one.txt", tmp_path / "other.txt"


def a_run(words):
    """Vectors in which the words of each pair are near; those that both languages have are theirs alone."""
    spec = json_spec(train("wordpiece", [" ".join(words)] * 9, 600), 64)
    table = torch.randn(spec.vocabulary, 8, generator=torch.Generator().manual_seed(0))
    place = [int(spec.codec.encode([word])[0][0][0]) for word in words]
    table[place[len(ONE) :]] = table[place[: len(ONE)]] + 0.01
    return SimpleNamespace(spec=spec, encoder=SimpleNamespace(word_embeddings=lambda: table)), table


def test_nearest_words_are_written_in_both_directions(files, tmp_path):
    run, _ = a_run(ONE + OTHER)
    said = lexicon(run, Languages(one=files[0], other=files[1]), out=tmp_path / "lexicon.tsv")
    assert said.startswith("8 pairs of 14 and 14 words, 6 of which both have")
    assert set(pairs_of(tmp_path / "lexicon.tsv", "lexicon")) == {
        pair for a, b in zip(ONE[:8], OTHER[:8], strict=True) for pair in ((a, b), (b, a))
    }


def test_words_are_common_ones_of_letters(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("Häuser 12, हिन्दी! Häuser\nHäuser हिन्दी it's", encoding="utf-8")
    assert words_in(file, 2, 10) == ["Häuser", "हिन्दी"]
    assert words_in(file, 1, 1) == ["Häuser"]
    with pytest.raises(UsageError, match="no word that occurs 9 times"):
        words_in(file, 9, 10)


def test_a_word_is_the_mean_of_its_tokens():
    run, table = a_run(ONE + OTHER)
    ids = run.spec.codec.encode([" housecat"])[0][0].tolist()
    assert len(ids) > 1
    torch.testing.assert_close(vectors(["housecat"], run.spec, table)[0], table[ids].mean(0))


def test_mistakes_are_named(files, capsys):
    given = ["--one", str(files[0]), "--other", str(files[1]), "--out", "x.tsv"]
    assert main(["text", "lexicon", "nowhere", *given, "--least", "0"]) == 2
    assert "least is 0" in capsys.readouterr().err
