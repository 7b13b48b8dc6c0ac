"""Recipes are found by name in the package of a domain, and describe themselves."""

import subprocess
import sys

import pytest

from unlabeled.config.recipes import Recipe, describe_recipe, load_recipe, recipe_files
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import CONTRACT, Component, Domain, hookimpl


@pytest.fixture
def shop(toy, tmp_path, monkeypatch):
    """A domain whose package has recipes; the package cannot be imported."""
    package = tmp_path / "shop_package"
    (package / "recipes").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "recipes" / "tea.yaml").write_text("summary: warm\npaper: '1'\nobjective: byol\nencoder: {name: b}\n")
    (package / "recipes" / "milk.yaml").write_text("summary: cold\n")
    (package / "recipes" / "notes.txt").write_text("no recipe")
    monkeypatch.syspath_prepend(tmp_path)
    rows = tuple(
        Component(kind="encoder", name=name, target=f"shop_package.parts:{name}", summary="") for name in ("a", "b")
    )
    defaults = {"encoder": "a", "objective": "simclr"}

    class Shop:
        @hookimpl
        def unlabeled_domain(self) -> Domain:
            return Domain(name="shop", summary="", contract=CONTRACT, sample="", components=rows, defaults=defaults)

    registry().add("shop", Shop())
    return package / "recipes"


def test_found_without_importing_the_package(shop):
    assert recipe_files("shop") == {"milk": shop / "milk.yaml", "tea": shop / "tea.yaml"}


def test_described_by_head_and_defaults(shop):
    assert describe_recipe("shop", "tea") == Recipe(
        domain="shop", name="tea", summary="warm", paper="1", objective="byol", encoder="b"
    )
    assert describe_recipe("shop", "milk").encoder == "a"


def test_a_recipe_carries_its_name(shop):
    assert load_recipe("shop", "tea")["recipe"] == "tea"
    assert load_recipe("shop", "tea")["objective"] == {"name": "byol"}


@pytest.mark.parametrize(("name", "hint"), [("te", "Perhaps you meant tea"), ("zzz", "Known: milk, tea")])
def test_an_unknown_name_lists_the_nearest(shop, name, hint):
    with pytest.raises(UsageError, match=f"unknown recipe '{name}' in domain 'shop'. {hint}"):
        load_recipe("shop", name)


def test_a_domain_without_recipes(toy):
    assert recipe_files("toy") == {}
    with pytest.raises(UsageError, match="Domain 'toy' has none"):
        load_recipe("toy", "tea")


def test_no_path_is_taken_for_a_name(shop):
    with pytest.raises(UsageError, match="unknown recipe"):
        load_recipe("shop", "../recipes/tea")


def test_a_recipe_that_is_no_yaml(shop):
    (shop / "tea.yaml").write_text("a: [")
    with pytest.raises(UsageError, match=r"tea\.yaml is not valid YAML"):
        describe_recipe("shop", "tea")


def test_torch_is_not_imported():
    code = "import sys, unlabeled.config.recipes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
