"""Questions with choices and words with tags, as files give them."""

import json

import pytest
import torch

from unlabeled import api
from unlabeled.errors import UsageError
from unlabeled_text.data.tasks import Choices, Tagged, around

HEAD = "citing_prompt,holding_0,holding_1,holding_2,label\n"


def write(folder, name, text):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_choices_in_casehold_form(tmp_path):
    write(tmp_path, "train.csv", HEAD + "the court held,one two,three,four,1\nthe jury said,five,six,seven,2\n")
    write(tmp_path, "test.csv", HEAD + "the clerk wrote,eight,nine,ten,0.0\n")
    data = Choices(str(tmp_path), tokenizer="bytes")
    assert data.choices.shape == (3, 3)
    order = sorted(range(3), key=lambda q: data.texts(data.choices[q])[0])
    first = data.texts(data.choices[order[0]])
    assert first == ["eight the clerk wrote", "nine the clerk wrote", "ten the clerk wrote"]
    held = data.choice_test
    assert data.answers[held].tolist() == [0]
    assert sorted(data.answers[~held].tolist()) == [1, 2]
    assert torch.equal(data.test, held.repeat_interleave(3))


@pytest.mark.parametrize("tokenizer", ["bytes", "wordpiece", "bpe"])
def test_the_place_of_the_holding_survives_the_cut(tmp_path, tokenizer):
    """CaseHOLD's contexts end with it, and are far longer than a model reads."""
    context = " ".join(f"word{n}" for n in range(140)) + " the court decided (<HOLDING>) so"
    rows = [{"context": context, "choices": ["held one", "held two"], "answer": 0}] * 4
    file = write(tmp_path, "q.jsonl", "\n".join(map(json.dumps, rows)))
    data = Choices(str(file), tokenizer=tokenizer, length=64)
    for text in data.texts([0, 1]):
        assert "holding" in text.lower()
        assert text.split()[0] == "held"
        assert text.split()[-1] == "so"
    batch = data.__getitems__([0])
    assert batch.lengths == (64,)
    assert int((batch.tokens == data.spec.suffix[0]).sum()) == 2, "one ends the choice, one the text"
    assert "8 cut to length" in data.describe()


def test_a_long_context_is_cut_on_both_sides_of_its_place():
    assert around(100, 3, 20) == (17, 3)
    assert around(2, 100, 20) == (2, 18)
    assert around(100, 100, 20) == (10, 10)
    assert around(0, 100, 20) == (0, 20)
    assert around(4, 5, 20) == (4, 5)


def test_fine_tuning_learns_which_choice_is_right(tmp_path):
    """CaseHOLD's own protocol: all weights, one score a choice; one cue among the choices, at no fixed place."""
    for side, count in (("train", 24), ("dev", 6), ("test", 9)):
        holdings = [["held bad"] * 3 for _ in range(count)]
        for n, row in enumerate(holdings):
            row[n * n % 3] = "held good"
        rows = (f"case {n},{','.join(row)},{n * n % 3}\n" for n, row in enumerate(holdings))
        write(tmp_path, f"{side}.csv", HEAD + "".join(rows))
    small = {"encoder": {"width": 32, "depth": 1, "heads": 2}, "say": lambda line: None}
    data = {"name": "choices", "path": str(tmp_path), "vocabulary": 128}
    run = api.pretrain(
        "text", recipe="mlm", data=data, out=tmp_path / "run", epochs=0, batch_size=8, tensorboard=False, **small
    )
    found = api.finetune(run, epochs=8, batch_size=8, lr=0.01, patience=8, out=tmp_path / "tuned")
    assert (found.kind, found.train, found.test, found.guess) == ("choices", 24, 9, {"accuracy": 1 / 3})
    assert found.scores["accuracy"] == {"from scratch": [1.0], "pre-trained": [1.0]}
    scores = api.predict(tmp_path / "tuned").columns["predicted_score"]
    questions = run.data()
    right = torch.tensor(scores)[questions.choices].argmax(1) == questions.answers
    assert right[questions.choice_test].all()


def test_choices_in_json_lines(tmp_path):
    rows = [{"context": "why", "choices": ["a", "b"], "answer": 1}]
    file = write(tmp_path, "q.jsonl", "\n".join(map(json.dumps, rows)))
    data = Choices(str(file), tokenizer="bytes")
    assert data.texts(data.choices[0]) == ["a why", "b why"]
    assert data.test is None


def test_lines_inside_of_a_cell_stay(tmp_path):
    file = write(tmp_path, "q.csv", HEAD + '"held\nthat",one,two,three,0\n')
    assert Choices(str(file), tokenizer="bytes").texts([0]) == ["one held\nthat"]
    row = {"context": "section\u2028two\x85a", "choices": ["a", "b"], "answer": 1}
    file = write(tmp_path, "q.jsonl", json.dumps(row, ensure_ascii=False))
    assert Choices(str(file), tokenizer="bytes").texts([1]) == ["b section\u2028two\x85a"]


@pytest.mark.parametrize("make", [Choices, Tagged])
@pytest.mark.parametrize(("value", "match"), [("[" * 10**5, "nested too deep"), ("9" * 5000, "too many digits")])
def test_json_that_cannot_be_read_is_named(tmp_path, make, value, match):
    with pytest.raises(UsageError, match=f"q.jsonl:1 is not valid JSON: .*{match}"):
        make(str(write(tmp_path, "q.jsonl", f'{{"words": {value}}}')))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (HEAD + "x\ry,a,b,c,0\n", "q.csv:2 cannot be read as a row: new-line"),
        (HEAD + "x,a,b,c," + "9" * 5000 + "\n", "q.csv:2: '9{40}' is the number of none"),
        (HEAD + "x,a,b,c,3\n", "3' is the number of none of 3 choices"),
        (HEAD + "x,a,b,c,no\n", "'no' is the number of none"),
        ("text,label\nx,1\n", "needs a context"),
        (HEAD, "no questions"),
    ],
)
def test_bad_questions_are_named(tmp_path, text, match):
    with pytest.raises(UsageError, match=match):
        Choices(str(write(tmp_path, "q.csv", text)), tokenizer="bytes")


def test_bad_json_is_named_by_line(tmp_path):
    with pytest.raises(UsageError, match=r"q.jsonl:2 is not valid JSON"):
        Choices(str(write(tmp_path, "q.jsonl", '{"context": "a", "choices": ["b", "c"], "label": 0}\n{')))


@pytest.mark.parametrize("tokenizer", ["bytes", "wordpiece"])
def test_tagged_words_keep_their_own_starts(tmp_path, tokenizer):
    text = "-DOCSTART- O\n\nDon't VERB\nstop X VERB\n\nit's PRON\n"
    data = Tagged(str(write(tmp_path, "words.txt", text)), tokenizer=tokenizer)
    assert data.tag_classes == ("PRON", "VERB")
    assert [tags.tolist() for tags in data.tags] == [[1, 1], [0]]
    batch = data.__getitems__([0, 1])
    specials = len(data.spec.prefix) + len(data.spec.suffix)
    assert [int(part.sum()) - specials for part in batch.starts.split(list(batch.lengths))] == [2, 1]


def test_tagged_json_lines_and_their_errors(tmp_path):
    file = write(tmp_path, "t.jsonl", json.dumps({"words": ["a", "b"], "tags": ["X", "Y"]}))
    assert len(Tagged(str(file), tokenizer="bytes")) == 1
    with pytest.raises(UsageError, match="of the same length"):
        Tagged(str(write(tmp_path, "u.jsonl", json.dumps({"words": ["a"], "tags": []}))))
    with pytest.raises(UsageError, match="needs a word and its tag"):
        Tagged(str(write(tmp_path, "v.txt", "alone\n")))
    raw = tmp_path / "w.txt"
    raw.write_bytes(b"a X\n\xff Y\n")
    with pytest.raises(UsageError, match="byte 4 is not valid UTF-8"):
        Tagged(str(raw))


def test_ragged_and_nested_questions_are_named(tmp_path):
    file = write(tmp_path, "a.csv", "context,holding_0,holding_1,label\nc, a,b,c,0\n")
    with pytest.raises(UsageError, match=r"a.csv:2 has 5 fields, and the header has 4; quote"):
        Choices(str(file))
    file = write(tmp_path, "b.jsonl", '{"context": {"x": 1}, "choices": ["a", "b"], "label": 0}\n')
    with pytest.raises(UsageError, match=r"b.jsonl:1: its context or a choice is a dict"):
        Choices(str(file))
    file = write(tmp_path, "c.jsonl", '{"words": ["a", ["b"]], "tags": ["X", "Y"]}\n')
    with pytest.raises(UsageError, match=r"c.jsonl:1: a word or tag is a list"):
        Tagged(str(file))
