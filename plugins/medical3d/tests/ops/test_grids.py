"""Cubes, quarter turns and gradients of volumes."""

import pytest
import torch

from unlabeled_medical3d.ops.grids import cubes, dense_map, gradient_magnitude, uncubes


def test_cubes_hold_the_voxels_of_their_cell():
    x = torch.arange(2 * 2 * 4 * 6 * 4).reshape(2, 2, 4, 6, 4).float()
    rows = cubes(x, (2, 3, 2))
    assert rows.shape == (2 * 12, 2 * 8)
    cell = x[1, :, 2:, 2:4, :2]  # cell (1, 1, 0) of the second volume
    assert torch.equal(rows[12 + 1 * 6 + 1 * 2 + 0], cell.flatten())
    assert torch.equal(uncubes(rows, (2, 3, 2), (4, 6, 4)), x)


def test_a_grid_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 6, 4\) voxels cannot be cut into \(3, 3, 2\)"):
        cubes(torch.zeros(1, 1, 4, 6, 4), (3, 3, 2))


def test_dense_map_is_the_inverse_of_rows():
    x = torch.randn(2, 3, 2, 3, 4)
    assert torch.equal(dense_map(x.permute(0, 2, 3, 4, 1).reshape(-1, 3), (2, 3, 4)), x)


def test_the_gradient_of_a_ramp_is_its_slope():
    x, y, _ = torch.meshgrid(*(torch.arange(6.0),) * 3, indexing="ij")
    inner = gradient_magnitude((3 * x + 4 * y)[None, None])[0, 0, 1:-1, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 5.0), rtol=1e-5, atol=0)
    assert gradient_magnitude(torch.ones(1, 1, 4, 4, 4)).max() < 1e-5
