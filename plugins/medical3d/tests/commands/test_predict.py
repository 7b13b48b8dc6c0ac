"""Voxel labels of a kept network, on the grid of each input."""

import nibabel as nib
import numpy as np
import pytest
import torch

import unlabeled
from unlabeled.cli.main import main
from unlabeled_medical3d.commands.predict import file_of, load_segmenter, on_grid
from unlabeled_medical3d.data.volumes import Volumes
from unlabeled_medical3d.ops.segmentation import slide


def test_scores_are_brought_back_to_any_grid():
    own = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))
    x, y, z = torch.meshgrid(*(torch.arange(float(n)) for n in (5, 6, 7)), indexing="ij")
    scores = torch.stack((2 * x, 2 * y, 2 * z))  # the place of each voxel in mm
    turned = torch.tensor([[0, -1.0, 0, 8], [0, 0, 1, 1], [3, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
    found = on_grid(scores, own, turned, (4, 8, 9))
    assert found.shape == (3, 4, 8, 9)
    torch.testing.assert_close(found[:, 2, 3, 4], torch.tensor([5.0, 5.0, 6.0]))
    torch.testing.assert_close(found[:, 3, 0, 0], torch.tensor([8.0, 1.0, 9.0]))


@pytest.mark.parametrize(
    ("name", "file"),
    [("a/b.nii.gz", "a/b.nii.gz"), ("/x/../b.nii;/x/c.nii", "x/b.nii.gz"), ("scan", "scan.nii.gz")],
)
def test_labels_lie_within_the_folder(name, file):
    assert file_of(name) == file


def test_what_segment_keeps_predicts_masks_with_the_affine_of_their_input(tmp_path, capsys):
    random, affine = np.random.default_rng(0), np.diag([-3.0, 3.0, 4.0, 1.0])
    for number in range(4):
        mask = np.zeros((20, 18, 14), dtype=np.uint8)
        mask[4:12, 5:13, 4:10] = 1
        image = (random.normal(100, 20, mask.shape) + 400.0 * mask).astype(np.float32)
        for folder, x in (("images", image), ("labels", mask)):
            (tmp_path / "scans" / folder).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(x, affine), tmp_path / "scans" / folder / f"c{number}.nii.gz")
    scans = f"--data {tmp_path}/scans --data.cache none"
    small = "--data.size 16 --data.spacing 4 --encoder.width 24 --encoder.depth 1 --encoder.heads 2"
    run, kept, out = (tmp_path / name for name in ("run", "kept", "out"))
    assert main(f"medical3d pretrain mae --steps 1 --batch-size 2 --out {run} {scans} {small}".split()) == 0
    segment = f"medical3d segment {run} --volumes 1,2 --seeds 0 --steps 30 --lr 0.01 --batch-size 2 --out {kept}"
    assert main(segment.split()) == 0
    assert main(f"medical3d predict {kept} {scans} --out {out}".split()) == 0
    assert "voxel labels of 4 of 4 volumes" in capsys.readouterr().out
    found = nib.load(out / "images" / "c1.nii.gz")
    assert (found.shape, found.get_data_dtype()) == ((20, 18, 14), np.uint8)
    np.testing.assert_allclose(found.affine, affine)
    true, guess = (
        np.asarray(nib.load(p).dataobj) for p in (tmp_path / "scans/labels/c1.nii.gz", out / "images/c1.nii.gz")
    )
    assert 2 * (true & guess).sum() / (true.sum() + guess.sum()) > 0.5
    loaded, data = unlabeled.load(kept), Volumes(str(tmp_path / "scans"), 0.0, cache="none", size=(16,), spacing=(4.0,))
    with torch.no_grad():
        scores = slide(load_segmenter(loaded), data.__getitems__([1]).images[0], loaded.spec.size)
    assert int(scores.argmax(0).sum()) > 0
    assert main(segment.split()) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(f"medical3d predict {run} {scans} --out {tmp_path}/x.csv".split()) == 2
    assert "has no head to predict with" in capsys.readouterr().err
