"""How the objectives of volumes behave: ranks, state, precision, gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unlabeled.contract import Progress, View, after_step
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled.objectives.alice import Alice
from unlabeled.objectives.voco import VoCo
from unlabeled.testing.conduct import assert_same, descend, reload, share
from unlabeled.testing.ranks import run_ranks
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.rows import TransformerDecoder
from unlabeled_medical3d.encoders.cnn import ResUNet
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.objectives.genesis import ModelsGenesis
from unlabeled_medical3d.objectives.global_local import GlobalLocal
from unlabeled_medical3d.objectives.joint_image_volume import JointImageVolume
from unlabeled_medical3d.objectives.regions import Regions
from unlabeled_medical3d.objectives.spark import SparK
from unlabeled_medical3d.objectives.swin_pretext import SwinPretext
from unlabeled_medical3d.objectives.uni4eye import Uni4Eye
from unlabeled_medical3d.objectives.volume_fusion import VolumeFusion
from unlabeled_medical3d.ops.grids import cubes

SPEC = VolumeSpec(1, (8, 8, 8))
WIDE = VolumeSpec(1, (16, 16, 16))  # a U-Net halves twice
CUBE = 4**3


def decoder(dim, width):
    return TransformerDecoder(dim, width, decoder_width=12, depth=1, heads=2)


MAKE = {
    "genesis": lambda e: ModelsGenesis(e, decoder, CUBE),
    "swin_pretext": lambda e: SwinPretext(e, decoder, CUBE, dim=8),
    "voco": lambda e: VoCo(e, projector=(12, 6)),
    "voco_2025": lambda e: VoCo(e, projector=(12, 6), variant="repo2025"),
    "volume_fusion": lambda e: VolumeFusion(e, decoder, CUBE),
    "regions": lambda e: Regions(e, decoder, CUBE, regions=4),
    "global_local": lambda e: GlobalLocal(e, decoder, slabs=2, regions=2, dim=6),
    "uni4eye": lambda e: Uni4Eye(e, decoder, CUBE),
    "alice": lambda e: Alice(e, decoder, CUBE, projector=(12, 6), heads=2, threshold=0.5),
    "joint_image_volume": lambda e: JointImageVolume(e, dim=6, prototypes=5, depth=1, heads=2, mask=0.5),
    "spark": lambda e: SparK(e, levels=2, width=16),
}
ALL = pytest.mark.parametrize("name", MAKE)
ROLES = {
    "genesis": ("source", "target"),
    "swin_pretext": ("source", "target", "source", "target"),
    "voco": ("base", "base", "base", "global", "global"),
    "voco_2025": ("base", "base", "base", "global", "global"),
    "volume_fusion": ("source", "target"),
    "regions": ("source", "target"),
    "uni4eye": ("global",),
    "spark": ("global",),
}


def make(name, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    encoder = ResUNet(WIDE) if name == "spark" else ViT3D(SPEC, patch=(4,), width=12, depth=1, heads=2)
    objective = MAKE[name](encoder)
    if hasattr(encoder, "prepare"):
        encoder.prepare(objective.needs)
    return encoder.to(dtype), objective.to(dtype)


def make_views(name, encoder, ids, scale=1.0, dtype=torch.float32):
    """Views of volumes that follow from their ids alone, with whatever the objective reads."""
    ids = torch.as_tensor(list(ids))
    size = encoder.spec.size
    count = size[0] * size[1] * size[2]
    whole = Draw(0, 0, ids).normal(count, 2000)
    affine = torch.eye(4, dtype=torch.float64).expand(len(ids), 4, 4)
    views = []
    for number, role in enumerate(ROLES.get(name, ("global", "global"))):
        draw = Draw(0, 0, ids, number)
        x = scale * (whole + 0.3 * draw.normal(count, 2001))
        if name == "volume_fusion" and role == "target":
            x = draw.integers(count, 2002, 5) / 4
        shares = draw.uniform(3, 2003) * (draw.uniform(3, 2004) > 0.3)
        params = {"rotation": ids % 4, "overlap": shares / shares.sum(1, keepdim=True).clamp(min=1e-6)}
        params["from_center"] = affine
        batch = VolumeBatch(ids, x.reshape(-1, 1, *size).to(dtype), affine)
        view = View(batch, role, layout=encoder.layout(batch), params=params)
        view = replace(view, content=cubes(batch.images, view.layout.grid))
        views.append(RandomMask(ratio=0.5)(view, draw) if name in ("uni4eye", "alice", "spark") else view)
    return views


def parameters(encoder, objective):
    for kind, module in (("encoder", encoder), ("objective", objective)):
        yield from ((f"{kind}.{n}", p) for n, p in module.named_parameters() if p.requires_grad)


def train(name):
    encoder, objective = make(name, dtype=torch.float64)
    views = make_views(name, encoder, share(range(4)), dtype=torch.float64)
    return descend(encoder, objective, views, dict(parameters(encoder, objective)), steps=2, of=10)


def train_all():
    torch.set_num_threads(1)
    return {name: train(name) for name in MAKE}


@pytest.fixture(scope="module")
def on_ranks():
    return run_ranks(train_all, 2)


@ALL
def test_two_ranks_equal_one_in_value_gradient_and_state(name, on_ranks):
    alone = train(name)
    for result in on_ranks:
        assert_same(result[name], alone, rtol=1e-6, atol=1e-8)


@ALL
def test_every_parameter_gets_a_gradient(name):
    encoder, objective = make(name)
    objective(encoder, make_views(name, encoder, range(4))).total.backward()
    assert not [key for key, p in parameters(encoder, objective) if p.grad is None]
    assert not any(p.requires_grad for n, p in objective.named_parameters() if n.startswith("teacher"))


@ALL
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_loss_and_gradients_are_finite(name, scale):
    encoder, objective = make(name)
    loss = objective(encoder, make_views(name, encoder, range(4), scale)).total
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for _, p in parameters(encoder, objective) if p.grad is not None)


@ALL
def test_autocast_to_bfloat16_changes_little(name):
    encoder, objective = make(name)
    views = make_views(name, encoder, range(4))
    plain = objective(encoder, views).total
    with torch.autocast("cpu", torch.bfloat16):
        low = objective(encoder, views).total
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, plain, rtol=0.1, atol=0.05)


@ALL
def test_state_survives_save_and_load(name):
    encoder, objective = make(name)
    views = make_views(name, encoder, range(4))
    after_step(objective, encoder, Progress(1, 10))
    _, other = make(name, seed=5)
    reload(objective, other)
    torch.testing.assert_close(other(encoder, views).total, objective(encoder, views).total, rtol=0, atol=0)


@ALL
def test_parts_are_detached_scalars(name):
    encoder, objective = make(name)
    parts = objective(encoder, make_views(name, encoder, range(4))).parts
    assert not any(part.requires_grad or part.dim() for part in parts.values())
