"""Tokenizers: trained the same in every process, loaded from files, bytes; their specials and words."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from unlabeled.errors import UsageError
from unlabeled_text.data.generated import corpus
from unlabeled_text.ops.codecs import Json, byte_words, pack_json, unpack_json
from unlabeled_text.ops.tokenizing import byte_spec, json_spec, spec_of, train

TEXTS = corpus(60)[0]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_a_trained_tokenizer_has_specials_frame_and_words(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path))
    spec = spec_of(kind, 64, 512, TEXTS)
    words = spec.words_of_vocabulary()
    assert spec.vocabulary <= 512
    assert [words[i] for i in (*spec.prefix, *spec.suffix)] == ["[CLS]", "[SEP]"]
    assert words[spec.mask] == "[MASK]"
    assert [words[i] for i in spec.sentinels[:2]] == ["<extra_id_0>", "<extra_id_1>"]
    assert [words[i] for i in spec.modes] == ["[NLU]", "[S2S]", "[NLG]"]
    assert len(spec.specials) == 5 + 32 + 3
    ((ids, starts),) = spec.codec.encode(["the sailor rowed near the bay ."])
    assert not set(ids.tolist()) & set(spec.specials)
    assert int(starts.sum()) == 7
    assert spec.text(ids.tolist()).replace(" .", ".").strip() == "the sailor rowed near the bay."


def test_training_is_the_same_in_every_process():
    code = (
        "import hashlib\nfrom unlabeled_text.data.generated import corpus\n"
        "from unlabeled_text.ops.tokenizing import train\n"
        "print(*[hashlib.sha256(train(k, corpus(60)[0], 400).encode()).hexdigest() for k in ('wordpiece', 'bpe')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == [hashlib.sha256(train(k, TEXTS, 400).encode()).hexdigest() for k in ("wordpiece", "bpe")]


def test_continuations_are_no_specials():
    content = json.loads(train("wordpiece", TEXTS, 300))
    assert all(not token["content"].startswith("##") for token in content["added_tokens"])
    assert "##a" in content["model"]["vocab"]


def test_a_unigram_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path))
    first = spec_of("unigram", 64, 300, TEXTS)
    assert len(list((tmp_path / "text" / "unigram").iterdir())) == 1
    assert spec_of("unigram", 64, 300, TEXTS) == first


def test_files_folders_and_packed_text_give_the_same(tmp_path):
    text = train("bpe", TEXTS, 400)
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    spec = json_spec(text, 32)
    for source in (str(tmp_path), str(tmp_path / "tokenizer.json"), spec.tokenizer):
        assert spec_of(source, 32, 0, []) == spec
    assert unpack_json(pack_json(text)) == text
    assert len(spec.tokenizer) < 0.6 * len(text)


def test_a_foreign_tokenizer_is_understood():
    """A GPT-2 kind: no mask, no padding, no template; texts end with its end of text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    )
    spec = json_spec(tokenizer.to_str(), 32)
    assert (spec.mask, spec.pad, spec.prefix, spec.suffix) == (None, None, (), (0,))
    assert spec.sentinels == ()


def test_bytes_are_those_of_byt5():
    spec = byte_spec(64)
    ((ids, starts),) = spec.codec.encode(["Hé y-1"])
    assert ids.tolist() == [b + 3 for b in "Hé y-1".encode()]
    assert starts.tolist() == [True, False, False, True, False, True, True]
    assert spec.text([*ids.tolist(), 1]) == "Hé y-1"
    assert (spec.vocabulary, spec.pad, spec.suffix) == (384, 0, (1,))
    assert len({spec.mask, *spec.sentinels, *spec.modes}) == 104
    assert byte_words(np.zeros(0, np.uint8)).tolist() == []


def test_a_long_text_is_tokenized_in_parts():
    codec = Json(train("wordpiece", TEXTS, 300))
    text = "the old sailor " * 20_000
    ((ids, starts),) = codec.encode([text])
    ((short, _),) = codec.encode(["the old sailor "])
    assert ids.tolist() == short.tolist() * 20_000
    assert int(starts.sum()) == 60_000


def test_mistakes_are_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no tokenizer\.json that the tokenizers library reads"):
        spec_of(str(tmp_path), 32, 0, [])
    with pytest.raises(UsageError, match=r"cannot be read as a tokenizer\.json"):
        spec_of(str(tmp_path / "none.json"), 32, 0, [])
    with pytest.raises(UsageError, match="spec is damaged"):
        unpack_json("%%%")
    with pytest.raises(ValueError, match="vocabulary is 50"):
        train("bpe", TEXTS, 50)
