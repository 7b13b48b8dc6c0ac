"""Prepared volumes on disk: served when all is the same, rebuilt when damaged, never stale."""

import nibabel as nib
import numpy as np
import pytest
import torch

import unlabeled_medical3d.data.volumes as volumes
from unlabeled.errors import UsageError
from unlabeled_medical3d.batch import Volume
from unlabeled_medical3d.data.cache import Cache, digest, pack, unpack


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scans").mkdir()
    for n in range(3):
        x = np.random.default_rng(n).normal(100, 20, (12, 12, 12)).astype(np.float32)
        nib.save(nib.Nifti1Image(x, np.eye(4)), tmp_path / "scans" / f"{n}.nii.gz")
    return tmp_path / "scans"


@pytest.fixture
def prepared(monkeypatch):
    """Counts what is prepared anew."""
    calls = []
    real = volumes.prepare
    monkeypatch.setattr(volumes, "prepare", lambda *a, **k: calls.append(1) or real(*a, **k))
    return calls


def open_(folder, **settings):
    cache = str(folder.parent / "cache")
    return volumes.Volumes(str(folder), 0.5, **{"cache": cache, "memory": 0, **settings})


def test_a_second_pass_prepares_nothing_and_gives_the_same_bits(folder, prepared):
    first = open_(folder).__getitems__([0, 1, 2])
    assert len(prepared) == 3
    second = open_(folder).__getitems__([0, 1, 2])
    assert len(prepared) == 3
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.affine, second.affine)
    assert torch.equal(first.foreground, second.foreground)


@pytest.mark.parametrize("settings", [{"spacing": (2.0,)}, {"modality": "ct"}, {"percentiles": (5.0, 95.0)}])
def test_another_setting_is_another_entry(folder, prepared, settings):
    first = open_(folder).__getitems__([0]).images
    other = open_(folder, **settings).__getitems__([0]).images
    assert len(prepared) == 2
    assert first.shape != other.shape or not torch.equal(first, other)
    open_(folder).__getitems__([0])
    assert len(prepared) == 2


def test_settings_that_shape_nothing_share_entries(folder, prepared):
    open_(folder).__getitems__([0])
    open_(folder, size=(8,), mirror=False).__getitems__([0])
    assert len(prepared) == 1


def test_other_content_under_the_same_name_is_another_entry(folder, prepared):
    before = open_(folder).__getitems__([0]).images
    (folder / "0.nii.gz").write_bytes((folder / "1.nii.gz").read_bytes())
    after = open_(folder).__getitems__([0]).images
    assert not torch.equal(before, after)
    assert torch.equal(after, open_(folder).__getitems__([1]).images)
    assert len(prepared) == 2  # the copy is the other file's entry


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "garbage"])
def test_a_damaged_entry_is_rebuilt(folder, prepared, damage):
    good = open_(folder).__getitems__([0]).images
    (entry,) = (folder.parent / "cache").glob("*.volume")
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes({"cut": bytes(data[:-100]), "flipped": bytes(data), "empty": b"", "garbage": b"x" * 999}[damage])
    data_set = open_(folder)
    assert torch.equal(data_set.__getitems__([0]).images, good)
    assert data_set._cache.rebuilt == ["0"]
    assert len(prepared) == 2
    assert torch.equal(open_(folder).__getitems__([0]).images, good)
    assert len(prepared) == 2


def test_a_full_cache_takes_no_more(tmp_path):
    volume = Volume(torch.rand(1, 8, 8, 8), torch.eye(4), torch.zeros(4, 3).long(), torch.ones(8, 8, 8).byte())
    cache = Cache(tmp_path, len(pack(volume)) + 10)
    for name in ("a", "b"):
        cache.get(name, [name], lambda: volume)
    assert len(list(tmp_path.glob("*.volume"))) == 1
    found = unpack(pack(volume))
    assert torch.equal(found.mask, volume.mask)


def test_keys_cannot_run_into_each_other():
    assert digest("ab", "c") != digest("a", "bc")


def test_a_cache_that_cannot_be_made_is_named(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"the cache .* cannot be made"):
        open_(folder, cache=str(tmp_path / "file" / "cache"))
