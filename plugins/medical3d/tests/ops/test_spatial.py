"""Orientation and resampling against nibabel and MONAI, arrays and affines, on oblique anisotropic volumes."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from unlabeled.data.readable import SampleError
from unlabeled_medical3d.ops.spatial import (
    check_affine,
    resample,
    resampled_affine,
    resampled_shape,
    to_ras,
    voxel_size,
)


def oblique(order=(2, 0, 1), signs=(1, -1, -1), spacing=(0.9, 1.4, 3.1), degrees=12.0, origin=(11.0, -40.0, 7.5)):
    """An affine whose voxel axes are permuted, flipped, turned out of plane, and of three lengths."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    axes = np.zeros((3, 3))
    for voxel, (world, sign) in enumerate(zip(order, signs)):
        axes[world, voxel] = sign * spacing[voxel]
    affine[:3, :3] = turn @ axes
    affine[:3, 3] = origin
    return affine


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=(2, 9, 14, 11)).astype(np.float32)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (1, 0, 2)])
def test_orientation_equals_nibabel_and_monai(volume, order):
    affine = oblique(order)
    turned, ras = to_ras(volume, affine)
    closest = nib.as_closest_canonical(nib.Nifti1Image(volume[0], affine))
    np.testing.assert_array_equal(turned[0], closest.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(ras, closest.affine, atol=1e-9)
    monai = Orientation("RAS", labels=None)(MetaTensor(torch.from_numpy(volume), affine=torch.from_numpy(affine)))
    np.testing.assert_array_equal(turned, monai.numpy())
    np.testing.assert_allclose(ras, monai.affine.numpy(), atol=1e-6)
    assert nib.aff2axcodes(ras) == ("R", "A", "S")


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 4.0), (0.5, 3.0, 3.1)])
def test_resampling_equals_monai_arrays_and_affines(volume, spacing):
    turned, ras = to_ras(volume, oblique())
    found = resample(torch.from_numpy(turned), ras, spacing)
    change = Spacing(spacing, mode="bilinear", padding_mode="border", dtype=torch.float64)
    monai = change(MetaTensor(torch.from_numpy(turned), affine=torch.from_numpy(ras)))
    assert found.shape == monai.shape
    np.testing.assert_allclose(resampled_affine(ras, spacing), monai.affine.numpy(), atol=1e-6)
    np.testing.assert_allclose(found.numpy(), monai.numpy(), atol=2e-4)
    np.testing.assert_allclose(voxel_size(resampled_affine(ras, spacing)), spacing)


def test_a_place_in_the_world_keeps_its_value_through_both():
    # a linear function of world position is resampled without error, whatever the axes were
    affine = oblique()
    index = np.stack(np.meshgrid(*map(np.arange, (12, 10, 8)), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    image = (world @ np.array([1.0, 2.0, -3.0])).astype(np.float32)[None]
    turned, ras = to_ras(image, affine)
    found = resample(torch.from_numpy(turned), ras, (1.1, 1.2, 1.3))
    after = resampled_affine(ras, (1.1, 1.2, 1.3))
    at = np.stack(np.meshgrid(*map(np.arange, found.shape[1:]), indexing="ij"), -1)[:-1, :-1, :-1]
    expected = (at @ after[:3, :3].T + after[:3, 3]) @ np.array([1.0, 2.0, -3.0])
    np.testing.assert_allclose(found[0, :-1, :-1, :-1].numpy(), expected, atol=1e-3)


def test_labels_are_resampled_to_labels():
    mask = torch.randint(0, 4, (1, 10, 10, 10), generator=torch.Generator().manual_seed(0)).float()
    found = resample(mask, np.diag([2.0, 2.0, 2.0, 1.0]), (1.0, 1.0, 3.0), nearest=True)
    assert found.shape == (1, 19, 19, 7)
    assert set(found.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert torch.equal(found[:, ::2, ::2, ::2], mask[..., ::3])  # where both grids have a voxel


def test_nothing_changes_at_the_same_spacing(volume):
    x = torch.from_numpy(volume)
    assert resample(x, np.diag([1.5, 2.0, 3.0, 1.0]), (1.5, 2.0, 3.0)) is x
    assert resampled_shape((10, 1), (2.0, 2.0), (1.0, 1.0)) == (19, 1)


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "singular"),
        (np.diag([1.0, 1.0, 5000.0, 1.0]), "0.001 to 100 mm"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]), "5.7 degrees off right angles"),
    ],
)
def test_an_affine_that_maps_no_volume_is_named(affine, reason):
    with pytest.raises(SampleError, match=reason):
        check_affine(affine)
