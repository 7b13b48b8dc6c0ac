"""How the objectives of volumes behave: every law of the conduct suite, on small volumes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from unlabeled.build import make
from unlabeled.contract import Needs, View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled.testing import parametrize_conduct
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.rows import TransformerDecoder
from unlabeled_medical3d.encoders.cnn import ResUNet
from unlabeled_medical3d.encoders.slices import Slices
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.ops.grids import cubes
from unlabeled_medical3d.plugin import unlabeled_domain

WIRED = {"decoder": partial(TransformerDecoder, decoder_width=12, depth=1, heads=2), "content": 4**3}


def of(name: str, **settings: Any) -> Callable[[Any], Any]:
    return lambda encoder: make("medical3d", "objective", name, settings, {"encoder": encoder, **WIRED})


MAKE = {
    "genesis": of("genesis"),
    "swin_pretext": of("swin_pretext", dim=8),
    "volume_fusion": of("volume_fusion"),
    "regions": of("regions", regions=4),
    "global_local": of("global_local", slabs=2, regions=2, dim=6),
    "uni4eye": of("uni4eye"),
    "joint_image_volume": of("joint_image_volume", dim=6, prototypes=5, depth=1, mask=0.5),
    "spark": of("spark", levels=2, width=16),
}
EXPECTED = {
    ("regions", "order_does_not_matter"): "clusters start from points of the first batch, evenly spaced in its order",
}


def encoder(name: str) -> Any:
    if name == "spark":
        return ResUNet(VolumeSpec(1, (16, 16, 16)))  # a U-Net halves twice
    if name == "joint_image_volume":
        return Slices("test_convnext", VolumeSpec(1, (32, 32, 3)))
    return ViT3D(VolumeSpec(1, (8, 8, 8)), patch=(4,), width=12, depth=1, heads=2)


def views(encoder: Any, needs: Needs, ids: Sequence[int], scale: float, dtype: torch.dtype) -> list[View]:
    """Volumes that follow from their ids; targets show five levels, as Volume Fusion's do."""
    ids_B, size = torch.tensor(ids), encoder.spec.size
    count = size[0] * size[1] * size[2]
    whole, affine = Draw(0, 0, ids_B).normal(count, 2000), torch.eye(4, dtype=torch.float64).expand(len(ids), 4, 4)
    views = []
    for number, role in enumerate(role for role, count in needs.views.items() for _ in range(count)):
        draw = Draw(0, 0, ids_B, number)
        x = scale * (whole + 0.3 * draw.normal(count, 2001))
        if role == "target":
            x = draw.integers(count, 2002, 5) / 4
        batch = VolumeBatch(ids_B, x.reshape(-1, 1, *size).to(dtype), affine)
        view = View(batch, role, encoder.layout(batch), params={"rotation": ids_B % 4, "from_center": affine})
        view = replace(view, content=cubes(batch.images, view.layout.grid))
        views.append(RandomMask(ratio=0.5)(view, draw) if needs.hidden else view)
    return views


@parametrize_conduct(MAKE, views, encoder=encoder, expected_failures=EXPECTED)
def test_conduct(objective: Any, law: Any) -> None:
    law(objective)


def test_no_objective_is_left_out() -> None:
    assert {row.name for row in unlabeled_domain().components if row.kind == "objective"} <= set(MAKE)
