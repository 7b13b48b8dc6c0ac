"""Every recipe of every installed domain is complete, known, and stands on settings that exist."""

import re
from pathlib import Path

import pytest
import torch

from unlabeled.build import build
from unlabeled.config.recipes import describe_recipe, load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.plugins.registry import registry
from unlabeled.testing.recipes import check_description

RECIPES = [(domain, name) for domain in sorted(registry().domains) for name in recipe_files(domain)]
ALIASES = [
    (domain, row.kind, alias, row.name)
    for domain in sorted(registry().domains)
    for row in registry().components(domain)
    for alias in row.aliases
]
READS = {"vision": "photos/", "audio": "clips/", "graph": "cora.npz", "medical3d": "scans/", "text": "texts/"}
READS_OTHER = {("graph", "d_sla"): "molecules.csv"}  # the domain's default data would be refused
LARGER = {
    "vision": ((96, 96), {"size": 96}, ("simclr", "dino", "mae", "i_jepa", "data2vec")),
    "medical3d": (
        (32, 48, 32),
        {"name": "phantoms", "count": 8, "size": [32, 48, 32]},
        ("mae", "simclr", "models_genesis", "spark", "voco", "i_jepa"),
    ),
}


@pytest.mark.parametrize("domain", READS)
def test_recipes_that_a_readme_names_exist(domain):
    text = (Path(__file__).parents[1] / "plugins" / domain / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Recipes\n")[2].partition("\n## ")[0]
    lines = re.findall("^[`|].*", section, re.MULTILINE)
    named = {name for line in lines for words in re.findall("`(.+?)`", line) for name in words.split()}
    assert len(named) > 10
    assert named <= set(recipe_files(domain))


@pytest.mark.parametrize(("domain", "name"), [row for row in RECIPES if row[0] in READS], ids="-".join)
def test_a_recipe_opens_with_its_paper_and_its_command(domain, name):
    check_description(domain, name, READS_OTHER.get((domain, name), READS[domain]))
    if (domain, name) not in READS_OTHER:
        assert "name" not in load_recipe(domain, name).get("data", {}), "data are the user's"


@pytest.mark.parametrize(("domain", "name"), [(domain, name) for domain in LARGER for name in LARGER[domain][2]])
def test_a_recipe_fits_other_sizes(domain, name):
    size, data, _ = LARGER[domain]
    parts = build(resolve(merge(load_recipe(domain, name), {"data": data}), domain))
    views = parts.prepare(parts.data.__getitems__(range(2)), 0, 0)
    assert tuple(views[0].batch.images.shape[2:]) == size
    assert torch.isfinite(parts.objective(parts.encoder, views).total)


def test_settings_of_a_recipes_data_hold_for_the_users_path():
    """CompoundPiece is about bytes of words, whichever texts it reads."""
    raw = merge(load_recipe("text", "compoundpiece"), {"data": {"name": "texts", "path": "somewhere"}})
    assert raw["data"] == {"tokenizer": "bytes", "sample": "word", "length": 64, "name": "texts", "path": "somewhere"}


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
