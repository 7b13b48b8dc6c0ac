"""Near-duplicate slices are left out, by each similarity."""

import csv

import pytest
import torch

from unlabeled.cli.main import main
from unlabeled.errors import UsageError
from unlabeled_medical3d.data.phantoms import Phantoms
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


def test_the_command_writes_a_table(tmp_path, capsys):
    out = tmp_path / "kept.csv"
    assert main(f"medical3d select --data phantoms --out {out} --threshold 0.7".split()) == 0
    said = capsys.readouterr().out
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"sample", "patient", "axis", "slice"}
    assert f"{len(rows):,} of" in said
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
