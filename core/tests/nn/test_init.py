"""Where parts start: positions."""

import pytest
import torch

from unlabeled.nn.init import sincos


@pytest.mark.parametrize(("coordinates", "width"), [(1, 8), (2, 8), (3, 20)])
def test_positions_are_told_apart_by_parts_of_their_coordinates(coordinates, width):
    place = torch.cartesian_prod(*[torch.arange(4)] * coordinates).reshape(-1, coordinates)
    parts = sincos(place, width)
    assert parts.shape == (4**coordinates, width)
    assert torch.cdist(parts, parts).fill_diagonal_(9).min() > 0.1
    count = width // (2 * coordinates)
    expected = torch.sin(place[:, -1].float()[:, None] * 10000.0 ** -(torch.arange(count) / count))
    torch.testing.assert_close(parts[:, (coordinates - 1) * 2 * count :][:, :count], expected)


def test_rows_without_positions_get_none():
    assert torch.equal(sincos(torch.zeros(5, 0), 6), torch.zeros(5, 6))
