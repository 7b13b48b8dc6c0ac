"""Near-duplicate slices are left out, by each similarity."""

import nibabel as nib
import numpy as np
import pytest
import torch

from unlabeled.cli.main import main
from unlabeled.errors import UsageError
from unlabeled_medical3d.data.phantoms import Phantoms
from unlabeled_medical3d.data.volumes import Volumes
from unlabeled_medical3d.select import (
    NearDuplicates,
    cosine_similarity,
    gray_levels,
    hash_similarity,
    hashes,
    information_similarity,
    keep_different,
    thumbnails,
)


@pytest.fixture(scope="module")
def thumbs():
    """Three different slices, then a copy of the first, and one that is it with a little noise."""
    torch.manual_seed(0)
    x = torch.nn.functional.interpolate(torch.randn(3, 1, 6, 6), (32, 32), mode="bilinear")[:, 0]
    return torch.cat((x, x[:1], x[:1] + 0.01 * torch.randn(1, 32, 32)))


@pytest.mark.parametrize(("describe", "similarity"), [(hashes, hash_similarity), (gray_levels, information_similarity)])
def test_copies_are_alike_and_others_are_not(thumbs, describe, similarity):
    described = describe(thumbs)
    found = similarity(described[0], described)
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert found[3] == pytest.approx(1.0, abs=1e-6)
    assert found[4] > 0.75
    assert found[1:3].max() < 0.7
    assert keep_different(described, similarity, 0.75) == [0, 1, 2]


def test_information_is_that_of_the_joint_histogram():
    a, b = torch.tensor([0, 0, 1, 1]), torch.tensor([[0, 0, 1, 1], [5, 5, 5, 5], [0, 1, 0, 1], [3, 3, 2, 2]])
    found = information_similarity(a, b)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0, 1.0]), rtol=0, atol=1e-6)


def test_slices_lie_across_the_axis():
    volume = torch.randn(1, 4, 5, 6)
    assert [len(thumbnails(volume, axis)) for axis in (1, 2, 3)] == [4, 5, 6]


def test_what_was_kept_before_counts(thumbs):
    described = hashes(thumbs)
    assert keep_different(described[3:], hash_similarity, 0.75, described[:3]) == []
    assert keep_different(torch.eye(3), cosine_similarity, 0.5) == [0, 1, 2]


@pytest.mark.parametrize("by", ["hash", "information"])
def test_neighboring_slices_of_phantoms_are_left_out(by):
    data = Phantoms(None, count=4)
    found = list(NearDuplicates(by=by, threshold=0.8)(data))
    assert [each.sample for each in found] == [0, 1, 2, 3]
    assert all(0 < len(each.kept) < each.total for each in found)
    every = list(NearDuplicates(by=by, threshold=0.8, scope="all")(data))
    assert sum(len(e.kept) for e in every) <= sum(len(e.kept) for e in found)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="threshold is 0"):
        NearDuplicates(threshold=0)
    with pytest.raises(UsageError, match="needs --run"):
        next(NearDuplicates(by="embedding")(Phantoms(None, count=4)))


def test_the_command_writes_a_manifest_that_data_reads(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name in ("p1/a", "p1/b", "p2/c"):
        x = np.repeat(random.normal(100, 20, (12, 10, 4)), 3, -1).astype(np.float32)  # each slice three times
        x[3:-3, 3:-3] += 300
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(x, np.diag([1.0, 1.0, 2.0, 1.0])), tmp_path / "scans" / f"{name}.nii.gz")
    out, data = tmp_path / "kept.csv", f"--data {tmp_path}/scans --data.cache none"
    command = f"medical3d select {data} --data.classes keep --out {out} --by information --threshold 0.9"
    assert main(command.split()) == 0
    assert "12 of 36 slices of 3 volumes kept" in capsys.readouterr().out
    kept, whole = Volumes(str(out), 0.0, cache="none"), Volumes(str(tmp_path / "scans"), 0.0, cache="none")
    assert (kept.spec.spacing, kept.patients) == (whole.spec.spacing, whole.patients)
    assert (kept.classes, kept.labels.tolist()) == (("p1", "p2"), [0, 0, 1])
    few, every = (data.__getitems__([1]).images for data in (kept, whole))
    assert torch.equal(few, every[..., [0, 3, 6, 9]])
    assert "--data.spacing 1,1,2" in Volumes(str(out), 1.0, cache="none", spacing=(2.0,)).__getitems__([0]).bad[0][1]
    out.write_text(out.read_text().replace(" 9", " x"))
    with pytest.raises(UsageError, match=r"line 2: axis is x, y or z"):
        Volumes(str(out), 0.0, cache="none")


def test_a_table_that_cannot_be_written_is_refused(tmp_path, capsys):
    assert main(["medical3d", "select"]) == 2
    assert main(f"medical3d select --data phantoms --out {tmp_path}/x.txt".split()) == 2
    assert "--data is missing" in capsys.readouterr().err


def test_an_encoder_can_describe_slices(tmp_path):
    from unlabeled.api import load

    small = "--data.count 8 --data.size 16 --data.spacing 5 --encoder.width 24 --encoder.depth 1 --encoder.heads 2"
    run = str(tmp_path / "run")
    assert main(f"medical3d pretrain mae --epochs 1 --batch-size 4 --out {run} {small}".split()) == 0
    found = load(run)
    kept = list(NearDuplicates(by="embedding", threshold=0.999)(found.data(), found))
    assert all(0 < len(each.kept) <= each.total for each in kept)
