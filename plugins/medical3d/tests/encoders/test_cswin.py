"""Cross-shaped windows: what a stripe holds, what attends to what, and nothing of hidden rows."""

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.cswin import CrossAttention, CSwinUNet, stripes, unstripes

SPEC = VolumeSpec(1, (32, 32, 32))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_stripes_span_their_axis_and_come_back(axis, width):
    x = torch.randn(2, 3, 4, 6, 8)
    rows, cut = stripes(x, axis, width)
    assert rows.shape[2] == 3
    assert cut[3 + axis] == x.shape[2 + axis]
    torch.testing.assert_close(unstripes(rows, cut), x)


def test_a_cell_attends_within_its_cross_alone():
    torch.manual_seed(0)
    attention = CrossAttention(48, 1, 1).eval()
    for place in attention.place:
        torch.nn.init.zeros_(place.weight)  # positions reach the neighbors; attention is looked at here
    x = torch.randn(1, 48, 4, 5, 6)
    before = attention(x)
    x[0, :, 1, 2, 3] += 1
    moved = (attention(x) - before).abs().sum((0, 1)) > 1e-6
    index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (4, 5, 6)), indexing="ij"))
    same = (index == torch.tensor([1, 2, 3]).view(3, 1, 1, 1)).sum(0)
    assert torch.equal(moved, same >= 2)  # a line along each axis, through the cell


def test_every_parameter_is_used():
    encoder = CSwinUNet(SPEC)
    encoder.mask_token.requires_grad_()
    batch = VolumeBatch(torch.arange(2), torch.randn(2, 1, 32, 32, 32), torch.eye(4).repeat(2, 1, 1))
    view = RandomMask()(View(batch, "clean", layout=encoder.layout(batch)), Draw(0, 0, batch.ids))
    encoder(view).tokens.square().sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None] == []


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 48"):
        CSwinUNet(SPEC, width=50)
