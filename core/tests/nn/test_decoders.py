"""The decoder: padding invariance, positions."""

import pytest
import torch

from unlabeled.contract import Layout
from unlabeled.nn.decoders import TransformerDecoder


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return TransformerDecoder(12, 5, decoder_width=32, depth=2)


def grid_layout(count, side):
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    return Layout((side**2,) * count, places.repeat(count, 1))


def ragged():
    whole = grid_layout(2, 3)
    return whole.select(torch.tensor([0, 1, 4, 9, 12, 13, 15, 17]), (3, 5))


def test_padding_changes_nothing(decoder):
    layout, x = ragged(), torch.randn(8, 12)
    together = decoder(x, layout)
    first = decoder(x[:3], Layout((3,), layout.position[:3]))
    second = decoder(x[3:], Layout((5,), layout.position[3:]))
    torch.testing.assert_close(together, torch.cat((first, second)), rtol=1e-5, atol=1e-6)


def test_rows_are_told_apart_by_position_alone(decoder):
    layout = grid_layout(1, 2)
    out = decoder(torch.ones(4, 12), layout)
    assert out.shape == (4, 5)
    assert torch.cdist(out, out).fill_diagonal_(1.0).min() > 1e-3


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="decoder_width 30 is not a multiple of heads 4"):
        TransformerDecoder(12, 5, decoder_width=30, heads=4)
    with pytest.raises(ValueError, match="depth 0"):
        TransformerDecoder(12, 5, depth=0)
