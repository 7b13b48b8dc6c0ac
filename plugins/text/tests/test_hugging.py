"""Hugging Face data sets: saved folders with splits and class names; what cannot be loaded is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlabeled.errors import UsageError
from unlabeled_text.data import HuggingFace


def read(path: Path | str, **settings: object) -> HuggingFace:
    return HuggingFace(str(path), 0.0, **{"tokenizer": "bytes", **settings})  # type: ignore[arg-type]


def test_a_saved_data_set_has_its_splits_and_classes(tmp_path: Path) -> None:
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
    assert found.labels is not None
    assert found.test is not None
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert found.test.tolist() == [False, False, False, True]
    assert len(read(tmp_path / "saved", most=2)) == 3, "two rows of a split"


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="datasets is an extra")
    with pytest.raises(UsageError, match="no folder that save_to_disk wrote"):
        read(tmp_path)
