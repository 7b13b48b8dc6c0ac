"""2D models on slices: timm's own numbers, slice by slice."""

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.slices import Slices, from_slices, to_slices

SPEC = VolumeSpec(2, (64, 64, 8))


def view_of(encoder):
    images = torch.randn(2, 2, 64, 64, 8, generator=torch.Generator().manual_seed(0))
    batch = VolumeBatch(torch.arange(2), images, torch.eye(4).repeat(2, 1, 1))
    return View(batch, "clean", layout=encoder.layout(batch))


@pytest.mark.parametrize(("step", "grid"), [(1, (2, 2, 8)), (4, (2, 2, 2))])
def test_rows_are_timms_cells_of_each_slice(step, grid):
    torch.manual_seed(0)
    encoder = Slices("resnet10t", SPEC, step=step).eval()
    view = view_of(encoder)
    assert view.layout.grid == grid
    with torch.no_grad():
        out, (tokens, pooled) = encoder(view), encoder.bare(view)
    torch.testing.assert_close(out.tokens, tokens, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.pooled, pooled, atol=1e-5, rtol=1e-4)


def test_an_earlier_map_has_finer_cells_and_hidden_ones_are_not_seen():
    encoder = Slices("resnet10t", SPEC, stage=2).eval()
    view = view_of(encoder)
    assert view.layout.grid == (4, 4, 8)
    hidden = RandomMask(ratio=0.5)(view, Draw(0, 0, view.batch.ids))
    hidden.batch.images.requires_grad_()
    encoder(hidden).tokens.sum().backward()
    cells = hidden.batch.images.grad.abs().sum(1).unfold(1, 16, 16).unfold(2, 16, 16).sum((4, 5)).flatten()
    assert torch.equal(cells == 0, hidden.hidden.flags(256))


def test_slices_come_back():
    x = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(from_slices(to_slices(x, 1), 2), x)
    assert torch.equal(to_slices(x, 3)[1], x[0, ..., 4])


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("resnet10x", {}, "Perhaps you meant"),
        ("resnet10t", {"step": 3}, "must divide the 8 slices"),
        ("resnet10t", {"stage": 9}, "has 5 feature maps"),
    ],
)
def test_wrong_settings_are_named(name, settings, said):
    with pytest.raises(ValueError, match=said):
        Slices(name, SPEC, **settings)
