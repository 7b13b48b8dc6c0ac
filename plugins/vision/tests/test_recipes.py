"""Every recipe: a paper, a command, a config that builds at any size, and steps that leave nothing unused."""

from __future__ import annotations

import pytest
import torch

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.testing.recipes import check_description, check_steps
from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.data.digits import Digits

NAMES = [
    "barlow_twins", "byol", "data2vec", "dino", "i_jepa", "lejepa", "lvm_med", "mae", "moco_v2", "moco_v3", "simclr",
    "simmim", "simsiam", "swav", "vicreg",
]  # fmt: skip


def parts_of(name: str, size: int = 16) -> Parts:
    raw = merge(load_recipe("vision", name), {"encoder": {"name": "vit", "width": 32, "depth": 3, "heads": 2}})
    return build(resolve(merge(raw, {"data": {"name": "digits", "size": size}}), "vision"))


def test_all_are_here() -> None:
    assert sorted(recipe_files("vision")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    check_description("vision", name, "photos/")
    assert "data" not in load_recipe("vision", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_leave_nothing_unused(name: str) -> None:
    check_steps(parts_of(name))


@pytest.mark.parametrize("name", ["simclr", "dino", "mae", "i_jepa", "data2vec"])
def test_a_recipe_fits_larger_images(name: str) -> None:
    parts = parts_of(name, size=96)
    views = parts.prepare(parts.data.__getitems__(range(4)), 0, 0)
    assert parts.data.spec == ImageSpec(1, 96, mirror=False)
    assert torch.isfinite(parts.objective(parts.encoder, views).total)


def test_every_data_set_has_the_digits_default() -> None:
    assert resolve(load_recipe("vision", "simclr"), "vision").parts["data"].name == "digits"
    assert len(Digits(None)) == 1797
