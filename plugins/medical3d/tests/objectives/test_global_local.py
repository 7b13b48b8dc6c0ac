"""Global-local contrast: slabs are told by what they show, not by where they stand."""

from dataclasses import replace

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.nn.heads import unit
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.rows import TransformerDecoder
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.objectives.global_local import GlobalLocal, region_loss, slab_loss, slabs_of
from unlabeled_medical3d.views.standard import SimCLR

SPEC = VolumeSpec(1, (8, 8, 8))


def made(**settings):
    torch.manual_seed(0)
    encoder = ViT3D(SPEC, patch=(4,), width=12, depth=1, heads=2)
    decoder = lambda dim, width: TransformerDecoder(dim, width, decoder_width=12, depth=1, heads=2)  # noqa: E731
    return encoder, GlobalLocal(encoder, decoder, slabs=2, regions=2, dim=6, **settings)


def view_of(images):
    affine = torch.eye(4, dtype=torch.float64).expand(len(images), 4, 4)
    return View(VolumeBatch(torch.arange(len(images)), images, affine), "global")


def test_slabs_are_parts_along_z_spread_over_the_whole():
    x = torch.arange(8.0).expand(2, 1, 8, 8, 8)
    low, high = slabs_of(x, 2)
    assert low.shape == high.shape == x.shape
    assert (low.min(), low.max(), high.min(), high.max()) == (0, 3, 4, 7)
    with pytest.raises(ValueError, match=r"8 voxels along z.*9 slabs"):
        slabs_of(x, 9)


def test_a_slab_has_the_same_features_wherever_it_stands():
    encoder, objective = made()
    x = torch.randn(3, 1, 8, 8, 8)
    swapped = torch.cat((x[..., 4:], x[..., :4]), -1)
    one, other = (objective._slabs(encoder, view_of(images)) for images in (x, swapped))
    torch.testing.assert_close(one, other.flip(1))


def test_the_loss_is_that_of_slabs_and_regions_through_the_class():
    encoder, objective = made(local=0.6)
    views = [view_of(torch.randn(3, 1, 8, 8, 8)) for _ in range(2)]
    found = objective(encoder, views)
    z = []
    for view in views:
        parts = [
            encoder(replace(view, batch=replace(view.batch, images=x))).pooled for x in slabs_of(view.batch.images, 2)
        ]
        z.append(torch.stack([unit(objective.projector(x)) for x in parts], 1))
    whole = slab_loss(torch.stack(z, 1), 0.1)
    maps = [unit(objective._regions(encoder(v)).flatten(0, 1)).reshape(3, 8, 6) for v in views]
    local = region_loss(*maps, 0.1).mean()
    torch.testing.assert_close(found.total, whole + 0.6 * local)
    torch.testing.assert_close(found.parts["global"], whole.detach())
    torch.testing.assert_close(found.parts["local"], local.detach())


def test_on_noise_that_no_two_views_share_slabs_stay_at_chance():
    encoder, objective = made()
    optimizer = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=3e-3)
    generator, last = torch.Generator().manual_seed(0), []
    for _ in range(60):
        views = [view_of(torch.randn(6, 1, 8, 8, 8, generator=generator)) for _ in range(2)]
        found = objective(encoder, views)
        optimizer.zero_grad()
        found.total.backward()
        optimizer.step()
        last.append(float(found.parts["global"]))
    chance = torch.tensor(13.0).log()  # a positive beside the 12 of the other slab
    assert sum(last[-10:]) / 10 > 0.95 * chance


def test_whole_views_show_the_same_place_of_volumes_of_any_size():
    volumes = [torch.linspace(-1, 1, n).expand(1, 10, 9, n).contiguous() for n in (12, 40)]
    batch = VolumeBatch(torch.arange(2), volumes, torch.eye(4, dtype=torch.float64).expand(2, 4, 4))
    views = SimCLR(SPEC, aligned=True, whole=True, flip=0.0, strength=0.0)(batch, Draw(0, 0, batch.ids))
    assert views[0].batch.images.shape == (2, 1, 8, 8, 8)
    torch.testing.assert_close(views[0].params["box"][:, 3:], torch.tensor([[10, 9, 12], [10, 9, 40]]))
    middle = views[0].batch.images.mean((1, 2, 3))
    torch.testing.assert_close(middle[0], middle[1], atol=0.1, rtol=0)
    with pytest.raises(ValueError, match="set aligned"):
        SimCLR(SPEC, whole=True)
