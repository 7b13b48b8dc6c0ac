"""Hugging Face data sets: saved folders with splits and class names; what cannot be loaded is one clear line."""

import pytest

from unlabeled.errors import UsageError
from unlabeled_text.data.huggingface import HuggingFace


def read(path, **settings):
    return HuggingFace(str(path), 0.0, **{"tokenizer": "bytes", **settings})


def test_a_saved_data_set_has_its_splits_and_classes(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is an extra")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    parts = {
        "train": datasets.Dataset.from_dict({"text": ["one", "two", "three"], "label": [0, 1, 1]}, features=features),
        "test": datasets.Dataset.from_dict({"text": ["four"], "label": [0]}, features=features),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    found = read(tmp_path / "saved")
    assert found.texts(range(4)) == ["one", "two", "three", "four"]
    assert found.classes == ("no", "yes")
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert found.test.tolist() == [False, False, False, True]
    assert len(read(tmp_path / "saved", most=2)) == 3, "two rows of a split"


@pytest.mark.parametrize("streaming", [True, False])
def test_a_folder_of_data_files_is_streamed_or_read(tmp_path, streaming, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is an extra")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    folder.mkdir()
    for split, words in (("train", ["one", "two", "three"]), ("test", ["four"])):
        lines = [f'{{"text": "{word}", "label": "{len(word)}"}}' for word in words]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kinds = []
    load = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: kinds.append(k["streaming"]) or load(*a, **k))
    found = read(folder, streaming=streaming)
    assert kinds == [streaming]
    assert sorted(found.texts(range(4))) == ["four", "one", "three", "two"]
    assert int(found.test.sum()) == 1
    assert len(read(folder, streaming=streaming, most=1)) == 2, "a row of a split"


def test_a_folder_of_something_else_is_named(tmp_path):
    pytest.importorskip("datasets", reason="datasets is an extra")
    with pytest.raises(UsageError, match="Hugging Face cannot load"):
        read(tmp_path)
