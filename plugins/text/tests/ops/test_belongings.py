"""A model of transformers brings its tokenizer, and weights of ours the one in their spec."""

import unlabeled
from unlabeled.config.run import resolve
from unlabeled_text.ops.belongings import of_model


def resolved(**more):
    return resolve({"data": {"name": "sentences"}, "objective": "simcse", **more}, "text").parts["data"].settings


def test_a_folder_brings_its_tokenizer_and_random_weights_none(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    folder = str(tmp_path)
    assert resolved(encoder=f"transformers/{folder}")["tokenizer"] == folder
    assert resolved(encoder="transformers/bert")["tokenizer"] == "wordpiece"
    given = {"name": "sentences", "tokenizer": "bytes"}
    assert resolved(encoder=f"transformers/{folder}", data=given)["tokenizer"] == "bytes"
    assert of_model("bert-base", {"pretrained": True}) == {"tokenizer": "hf://bert-base"}
    assert of_model(folder, {"config": "{}"}) == {}, "a saved encoder is made of its config"


def test_training_goes_on_with_the_tokenizer_of_the_weights(tmp_path):
    quick = {"domain": "text", "steps": 1, "batch_size": 8, "say": lambda line: None}
    small = {"name": "modern", "width": 32, "depth": 1}
    first = unlabeled.pretrain(recipe="mlm", data="sentences", encoder=small, out=tmp_path / "first", **quick)
    (tmp_path / "own.txt").write_text("\n".join(f"other words that nobody has seen {n}" for n in range(40)))
    init, own = str(tmp_path / "first"), str(tmp_path / "own.txt")
    second = unlabeled.pretrain(recipe="mlm", data=own, init=init, out=tmp_path / "second", **quick)
    assert second.spec == first.spec
    first.export("native")
    folder = f"transformers/{tmp_path / 'first' / 'export-native'}"
    third = unlabeled.pretrain(recipe="simcse", data=own, encoder=folder, out=tmp_path / "third", **quick)
    assert third.spec.words_of_vocabulary() == first.spec.words_of_vocabulary()
