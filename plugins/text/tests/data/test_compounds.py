"""Words to learn from where compounds break: which are taken, and on which side."""

from collections import Counter

import pytest

from unlabeled.errors import UsageError
from unlabeled_text.data.compounds import compounds, words_of
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.data.texts import Texts


def test_words_are_letters_and_hyphens():
    text = '"Well-known" ice\u2010cream, северо-запад; x-ray2 http://a-b हिन्दी-उर्दू (old) -- -'
    assert list(words_of(text)) == ["Well-known", "ice-cream", "северо-запад", "हिन्दी-उर्दू", "old"]


def test_compounds_stand_beside_as_many_words_without_a_hyphen():
    counts = Counter({"the": 90, "ice-cream": 5, "Ice-cream": 2, "icecream": 9, "x-ray": 8, "to-day": 1, "today": 9999,
                      "mat": 3, "cat": 4, "well-known": 1})  # fmt: skip
    found = compounds(counts)
    assert found[:2] == ["ice-cream", "well-known"], (
        "one spelling each; no part of one letter; none written in one word"
    )
    assert found[2:] == ["today", "the"], "as many, the most frequent, none of them a compound written in one"


def test_a_word_is_on_the_latest_of_its_sides(tmp_path):
    (tmp_path / "train.txt").write_text("a well-known sea-side mat\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("the well-known cat\n", encoding="utf-8")
    data = Texts(str(tmp_path), 0.0, tokenizer="bytes", sample="word")
    side = dict(zip(data.texts(range(len(data))), data.test.tolist(), strict=True))
    assert (side["well-known"], side["sea-side"], len(side)) == (True, False, 4)
    (tmp_path / "test.txt").unlink()
    (tmp_path / "train.txt").write_text("no such word\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no word with a hyphen"):
        Texts(str(tmp_path), 0.0, tokenizer="bytes", sample="word")


def test_the_generated_words_hold_compounds():
    words = (data := Sentences(sample="word", tokenizer="bytes")).texts(range(len(data)))
    assert sum("-" in word for word in words) > len(words) / 2 > 300
    assert sum("-" not in word for word in words) > 50
