"""Every recipe of every installed domain is complete, known, and stands on settings that exist."""

from __future__ import annotations

import pytest

from unlabeled.config.recipes import describe_recipe, load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.plugins.registry import registry

RECIPES = [(domain, name) for domain in sorted(registry().domains) for name in recipe_files(domain)]
ALIASES = [
    (domain, row.kind, alias, row.name)
    for domain in sorted(registry().domains)
    for row in registry().components(domain)
    for alias in row.aliases
]
VISION = {"simclr", "moco_v2", "moco_v3", "barlow_twins", "vicreg", "byol", "simsiam", "swav", "dino", "mae", "simmim",
          "i_jepa", "data2vec", "lejepa", "lvm_med"}  # fmt: skip


def test_vision_has_the_published_systems():
    assert set(recipe_files("vision")) >= VISION


@pytest.mark.parametrize(("domain", "name"), RECIPES, ids="-".join)
def test_a_recipe_resolves_and_says_what_it_is(domain, name):
    config = resolve(load_recipe(domain, name), domain)
    assert config.recipe == name
    assert config.paper
    assert config.summary
    assert resolve(config.to_dict()) == config
    assert describe_recipe(domain, name).objective == config.parts["objective"].name


@pytest.mark.parametrize(("domain", "kind", "alias", "name"), ALIASES)
def test_a_former_name_means_the_component_of_today(domain, kind, alias, name):
    assert resolve({kind: alias}, domain) == resolve({kind: name}, domain)
    assert resolve({kind: alias}, domain).parts[kind].name == name


def test_a_former_name_over_a_recipe_keeps_its_settings():
    recipe = load_recipe("vision", "i_jepa")
    assert merge(recipe, {"views": "mae"}, "vision")["views"] == recipe["views"]
    assert "scale" in recipe["views"]
