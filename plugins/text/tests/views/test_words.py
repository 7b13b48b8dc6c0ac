"""Code-switching by a lexicon, the made-up language, and hyphens."""

from dataclasses import replace

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled_text.data.building import Options, build
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.reading import Record
from unlabeled_text.ops.tokenizing import byte_spec, json_spec, train
from unlabeled_text.views.words import CodeSwitch, Hyphens, word_hashes

TEXTS = ["the old house is red", "a red house and the well-known blue-green house", "old", "the cat sat near the house"]


def corpus(spec):
    return Corpus(build((Record((t,)) for t in TEXTS), spec, Options(), []), spec, "test", "random")


@pytest.fixture(scope="module")
def data():
    extra = ["das haus ist rot und grün", "die katze", "alt"]
    return corpus(json_spec(train("wordpiece", TEXTS * 3 + extra * 3, 300), 64))


def both(views, data):
    batch = data.__getitems__(range(len(data)))
    made = views(batch, Draw(0, 0, batch.ids))
    found = [[data.spec.text(v.batch[i : i + 1].tokens.tolist()) for i in range(len(data))] for v in made]
    return found[0], found[1]


def test_words_are_translated_and_the_target_is_the_text(data, tmp_path):
    file = tmp_path / "lexicon.tsv"
    file.write_text("house\tdas haus\nred\trot\nunseen\tnichts\n", encoding="utf-8")
    source, target = both(CodeSwitch(data.spec, lexicon=str(file), ratio=1.0), data)
    assert target == data.texts(range(len(data)))
    assert source == [text.replace("house", "das haus").replace("red", "rot") for text in target]


def test_one_of_several_translations_is_drawn(data, tmp_path):
    file = tmp_path / "lexicon.tsv"
    file.write_text("the\tdas\nthe\tdie\n", encoding="utf-8")
    views = CodeSwitch(data.spec, lexicon=str(file), ratio=1.0)
    batch = data.__getitems__([0])
    seen = {data.spec.text(views(batch, Draw(0, e, batch.ids))[0].batch.tokens.tolist()).split()[0] for e in range(20)}
    assert seen == {"das", "die"}


def test_the_made_up_language_is_fixed(data):
    views = CodeSwitch(data.spec, ratio=1.0)
    ordinary = data.spec.ordinary
    other = views._foreign(ordinary)
    assert torch.equal(other.sort().values, ordinary), "each word is the translation of one"
    assert not (other == ordinary).any()
    source, target = both(views, data)
    assert source != target


def test_hashes_tell_orders_apart():
    tokens = torch.tensor([5, 6, 6, 5, 5, 6])
    first, second, third = word_hashes(tokens, torch.tensor([2, 2, 2])).tolist()
    assert first == third != second


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram", "bytes"])
def test_hyphens_between_letters_are_taken_out(kind):
    spec = byte_spec(128) if kind == "bytes" else json_spec(train(kind, TEXTS * 9, 400 if kind == "bpe" else 150), 128)
    source, target = both(Hyphens(spec), corpus(spec))
    assert "-" in target[1]
    assert source[1].strip() == "a red house and the wellknown bluegreen house"
    if kind == "bytes":
        assert target == TEXTS


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Kindergarten-Überraschung", "Kindergartenüberraschung"),
        ("северо-запад", "северозапад"),
        ("βιο-λογία", "βιολογία"),
        ("हिन्दी-उर्दू", "हिन्दीउर्दू"),
        ("ice\u2010cream ice\u2011cream", "icecream icecream"),
        ("NEW-age", "NEWAge"),
        ("a - b -c d- 1-2", "a - b -c d- 12"),
    ],
)
def test_hyphens_of_every_script_are_taken_out_of_bytes(written, read):
    spec = byte_spec(128)
    data = Corpus(build(iter([Record((written,))]), spec, Options(), []), spec, "test", "random")
    assert both(Hyphens(spec), data) == ([read], [written])


def test_the_second_stage_reads_words_and_their_parts(tmp_path):
    (tmp_path / "parts.tsv").write_text("häuser\thaus-er\nold\told\n", encoding="utf-8")
    spec = byte_spec(64)
    data = Corpus(build((Record((t,)) for t in ("häuser", "mat")), spec, Options(), []), spec, "test", "random")
    assert both(Hyphens(spec, parts=str(tmp_path / "parts.tsv")), data) == (["häuser", "mat"], ["haus-er", "mat"])


def test_mistakes(data, tmp_path):
    with pytest.raises(ValueError, match="is no lexicon: no such file"):
        CodeSwitch(data.spec, lexicon=str(tmp_path / "none.tsv"))
    (tmp_path / "empty.tsv").write_text("word\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no entries"):
        CodeSwitch(data.spec, lexicon=str(tmp_path / "empty.tsv"))
    with pytest.raises(ValueError, match="ratio is 0"):
        Hyphens(data.spec, ratio=0.0)


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_words_inside_a_text_are_found_where_tokens_hold_the_space_before_them(tmp_path, kind):
    file = tmp_path / "lexicon.tsv"
    file.write_text("house\tdas haus\nold\talt\n", encoding="utf-8")
    made = train("bpe", [*TEXTS * 3, "das haus alt"], 400).replace(
        '"add_prefix_space":true', '"add_prefix_space":false'
    )
    data = corpus(byte_spec(128) if kind == "bytes" else json_spec(made, 128))
    source, target = both(CodeSwitch(data.spec, lexicon=str(file), ratio=1.0), data)
    assert target == TEXTS
    assert source == [text.replace("house", "das haus").replace("old", "alt") for text in TEXTS]


def test_the_tag_of_the_language_ends_the_source_and_begins_the_target(tmp_path):
    texts = ["<extra_id_0> the old house is red", "the cat sat", "<extra_id_1> die katze", "<extra_id_0>"]
    spec = json_spec(train("wordpiece", TEXTS * 3 + ["die katze"] * 9, 300), 64)
    data = Corpus(build((Record((t,)) for t in texts), spec, Options(), []), spec, "test", "random")
    (tmp_path / "lexicon.tsv").write_text("house\tkatze\n", encoding="utf-8")
    views = CodeSwitch(spec, lexicon=str(tmp_path / "lexicon.tsv"), ratio=1.0, tags="<extra_id_0>, <extra_id_1>")
    batch = data.__getitems__(range(4))
    source, target = views(batch, Draw(0, 0, batch.ids))
    first, second = spec.sentinels[:2]
    end = [*spec.suffix]

    def ids(view, i):
        return view.batch[i : i + 1].tokens.tolist()

    assert ids(source, 0)[-1 - len(end) :] == [first, *end]
    assert ids(source, 2)[-1 - len(end) :] == [second, *end]
    assert [ids(target, i)[0] for i in (0, 2, 3)] == [first, second, first]
    assert spec.text(ids(source, 0)) == "the old katze is red"
    assert ids(source, 1) == [*spec.prefix, *ids(target, 1)]
    assert ids(source, 3) == [*spec.prefix, first, *end]
    short = replace(spec, length=5)
    views = CodeSwitch(short, lexicon=str(tmp_path / "lexicon.tsv"), tags="<extra_id_0>")
    assert ids(views(batch, Draw(0, 0, batch.ids))[0], 0)[-1 - len(end)] == first, "the words are cut, not the tag"
    with pytest.raises(ValueError, match="names 'en_XX', which is no token"):
        CodeSwitch(spec, tags="en_XX")
