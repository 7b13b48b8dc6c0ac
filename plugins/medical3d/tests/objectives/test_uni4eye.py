"""Uni4Eye: slices have an embedding of their own, and what is hidden of them stands nowhere else."""

from functools import partial

import pytest
import torch

from unlabeled.build import build
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import merge, resolve
from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled.nn.rows import restore, target_rows
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.rows import TransformerDecoder
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.objectives.uni4eye import Uni4Eye, flattened
from unlabeled_medical3d.ops.grids import cubes, gradient_magnitude
from unlabeled_medical3d.tokenizers import Patches

SPEC = VolumeSpec(2, (8, 8, 8))


def made(**settings):
    torch.manual_seed(0)
    encoder = ViT3D(SPEC, patch=(4,), width=12, depth=1, heads=2, planar=True)
    decoder = partial(TransformerDecoder, decoder_width=12, depth=1, heads=2)
    return encoder, Uni4Eye(encoder, decoder, Patches(SPEC, encoder).width, **settings)


def view_of(encoder, depth):
    images = torch.randn(3, 2, 8, 8, depth, generator=torch.Generator().manual_seed(depth))
    batch = VolumeBatch(torch.arange(3), images, torch.eye(4, dtype=torch.float64).expand(3, 4, 4))
    view = View(batch, "global", encoder.layout(batch), content=None)
    view = View(batch, "global", view.layout, content=Patches(SPEC, encoder)(batch, view.layout)[0])
    return RandomMask(ratio=0.5)(view, Draw(0, 0, batch.ids))


def test_squares_start_as_cubes_that_repeat_them_and_learn_by_themselves():
    encoder, _ = made()
    x = torch.randn(2, 2, 8, 8, 1)
    torch.testing.assert_close(encoder._embed(x), encoder._embed(x.expand(-1, -1, -1, -1, 4)))
    encoder._embed(x).sum().backward()
    assert encoder.plane.weight.grad is not None
    assert encoder.model.patch_embedding.patch_embeddings.weight.grad is None
    assert encoder.layout(VolumeBatch(torch.arange(2), x, torch.eye(4).expand(2, 4, 4))).grid == (2, 2, 1)
    with pytest.raises(ValueError, match=r"--encoder.planar true reads single slices"):
        ViT3D(SPEC, patch=(4,), width=12, depth=1, heads=2)._grid((8, 8, 1))


def test_a_square_is_the_mean_of_its_painted_cube_along_z():
    x = torch.randn(1, 2, 4, 4, 4)
    torch.testing.assert_close(flattened(cubes(x, (1, 1, 1)), 32), cubes(x.mean(-1, keepdim=True), (1, 1, 1)))
    assert torch.equal(flattened(cubes(x, (1, 1, 1)), 128), cubes(x, (1, 1, 1)))


def test_hidden_rows_of_volumes_and_slices_carry_the_loss_by_intensity_and_by_gradient():
    encoder, objective = made(gradient=0.7)
    views = [view_of(encoder, 8), view_of(encoder, 1)]
    found = objective(encoder, views)
    errors = {"intensity": [], "gradient": []}
    for view in views:
        features = encoder(view, hide="drop")
        rows = restore(features.tokens, features.kept, objective.token, view.layout.total)
        edges = cubes(gradient_magnitude(view.batch.images), view.layout.grid)
        for name, decoder, target in (
            ("intensity", objective.intensities, view.content),
            ("gradient", objective.edges, edges),
        ):
            painted = flattened(decoder(rows, view.layout), target.shape[1])
            errors[name].append((painted - target).square().mean(1)[target_rows(view)])
    intensity, gradient = (torch.cat(e).mean() for e in errors.values())
    torch.testing.assert_close(found.total, intensity + 0.7 * gradient)
    torch.testing.assert_close(found.parts["gradient"], gradient.detach())
    assert len(torch.cat(errors["intensity"])) == 3 * (4 + 2)


def test_what_is_hidden_of_a_slice_stands_nowhere_beside_it():
    torch.manual_seed(0)
    small = {"data": {"name": "phantoms", "count": 8, "size": [16], "spacing": [5.0]}}
    parts = build(resolve(merge(load_recipe("medical3d", "uni4eye"), small), "medical3d"))
    slices = parts.prepare(parts.data.__getitems__(range(8)), 0, 0)[1:]
    assert slices
    for view in slices:
        assert view.batch.images.shape[2:] == (16, 16, 1)
        seen = torch.ones(view.layout.total, dtype=torch.bool).index_fill_(0, view.hidden.index, False)
        body = view.content[view.hidden.index]
        body = body[body.std(1) > 0.01]  # squares of air are alike
        assert len(body)
        assert not (body[:, None] == view.content[seen]).all(2).any()
