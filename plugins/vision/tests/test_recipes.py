"""Every recipe: a paper, a command, a config that builds at any size, and steps that leave nothing unused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unlabeled.build import Parts, build, construct
from unlabeled.config import merge, resolve
from unlabeled.contract import Progress
from unlabeled.recipes import load_recipe, recipe_files
from unlabeled.training.optimizers import parameter_groups
from unlabeled_vision.data import Digits, ImageSpec

NAMES = [
    "barlow_twins", "byol", "data2vec", "dino", "i_jepa", "lejepa", "mae", "moco_v2", "moco_v3", "simclr", "simmim",
    "simsiam", "swav", "vicreg",
]  # fmt: skip


def parts_of(name: str, size: int = 16) -> Parts:
    raw = merge(load_recipe("vision", name), {"encoder": {"name": "vit", "width": 32, "depth": 3, "heads": 2}})
    return build(resolve(merge(raw, {"data": {"name": "digits", "size": size}}), "vision"))


def test_all_are_here() -> None:
    assert sorted(recipe_files("vision")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    raw, text = load_recipe("vision", name), recipe_files("vision")[name].read_text()
    assert text.startswith("# ")
    assert f"https://arxiv.org/abs/{raw['paper']}" in text
    assert f"# unlabeled vision pretrain {name} --data photos/ --out runs/{name}" in text
    assert "data" not in raw
    assert 0 < len(raw["summary"]) < 70


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_leave_nothing_unused(name: str) -> None:
    parts = parts_of(name)
    parts.encoder.train()
    parts.objective.train()
    choice = parts.config.parts["optimizer"]
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(parts.config.component("optimizer"), choice.settings, {"groups": groups})
    for step in range(2):
        loss = parts.objective(parts.encoder, parts.prepare(parts.data.__getitems__(range(8)), 0, step))
        optimizer.zero_grad()
        loss.total.backward()
        named = [*parts.encoder.named_parameters(), *parts.objective.named_parameters()]
        assert not [n for n, p in named if p.requires_grad and p.grad is None]
        assert all(torch.isfinite(p.grad).all() for _, p in named if p.grad is not None)
        optimizer.step()
        parts.objective.after_step(parts.encoder, Progress(step + 1, 2))
        assert torch.isfinite(loss.total)


@pytest.mark.parametrize("name", ["simclr", "dino", "mae", "i_jepa", "data2vec"])
def test_a_recipe_fits_larger_images(name: str) -> None:
    parts = parts_of(name, size=96)
    views = parts.prepare(parts.data.__getitems__(range(4)), 0, 0)
    assert parts.data.spec == ImageSpec(1, 96, mirror=False)
    assert torch.isfinite(parts.objective(parts.encoder, views).total)


def test_every_data_set_has_the_digits_default() -> None:
    assert resolve(load_recipe("vision", "simclr"), "vision").parts["data"].name == "digits"
    assert len(Digits(None)) == 1797
