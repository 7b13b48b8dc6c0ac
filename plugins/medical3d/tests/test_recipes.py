"""Every recipe: a paper, a command, a config that builds at another size, and a step that leaves nothing unused."""

from __future__ import annotations

import pytest
import torch

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.testing.recipes import check_description, check_steps

NAMES = [
    "alice", "barlow_twins", "byol", "data2vec", "dino", "global_local", "i_jepa", "joint_image_volume", "lejepa",
    "lvm_med", "mae", "moco_v2", "moco_v3", "models_genesis", "regions", "simclr", "simmim", "simsiam", "spark", "swav",
    "swin_unetr", "uni4eye", "vicreg", "voco", "voco_2025", "volume_fusion",
]  # fmt: skip


def parts_of(name: str, size: tuple[int, ...] = (32,)) -> Parts:
    data = {"name": "phantoms", "count": 8, "size": list(size)}
    return build(resolve(merge(load_recipe("medical3d", name), {"data": data}), "medical3d"))


def test_all_are_here() -> None:
    assert sorted(recipe_files("medical3d")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    check_description("medical3d", name, "scans/")
    assert "data" not in load_recipe("medical3d", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_leave_nothing_unused(name: str) -> None:
    check_steps(parts_of(name), samples=4)


@pytest.mark.parametrize("name", ["mae", "simclr", "models_genesis", "spark", "voco", "i_jepa"])
def test_a_recipe_fits_volumes_of_unequal_sides(name: str) -> None:
    parts = parts_of(name, (32, 48, 32))
    views = parts.prepare(parts.data.__getitems__(range(2)), 0, 0)
    assert tuple(views[0].batch.images.shape[2:]) == (32, 48, 32)
    assert torch.isfinite(parts.objective(parts.encoder, views).total)
