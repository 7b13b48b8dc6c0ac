"""Every recipe: a command, a config that builds, and steps that leave nothing unused."""

from __future__ import annotations

import pytest

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.testing.recipes import check_description, check_steps

NAMES = [
    "barlow_twins", "bart", "byol", "c_rts", "clm", "code_switch", "compoundpiece", "ct", "data2vec", "declutr",
    "denosent", "dino", "e2s2", "i_jepa", "lejepa", "mlm", "moco_v2", "moco_v3", "rtd", "rts", "salt",
    "same_document", "same_paragraph", "scincl", "sent2vec", "simclr", "simcse", "simcse_spans", "simsiam", "slm",
    "space2", "spanbert", "swav", "t5", "tsdae", "ul2", "urlbert", "vega", "vicreg", "whole_word",
]  # fmt: skip


def parts_of(name: str) -> Parts:
    raw = load_recipe("text", name)
    encoder = {"modern": {"width": 32, "depth": 2}, "causal": {"width": 32, "depth": 2}, "bag": {"width": 32}}
    kind = raw.get("encoder", {}).get("name", "modern")
    return build(resolve(merge(raw, {"encoder": {"name": kind, **encoder.get(kind, {})}}), "text"))


def test_all_are_here() -> None:
    assert sorted(recipe_files("text")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    check_description("text", name, "texts/")
    raw = load_recipe("text", name)
    assert resolve(raw, "text").parts["objective"].name == raw["objective"]["name"]


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_leave_nothing_unused(name: str) -> None:
    check_steps(parts_of(name), samples=12)


def test_settings_of_a_recipes_data_hold_for_the_users_path() -> None:
    """CompoundPiece is about bytes, whichever texts it reads."""
    raw = merge(load_recipe("text", "compoundpiece"), {"data": {"name": "texts", "path": "somewhere"}})
    assert raw["data"] == {"tokenizer": "bytes", "name": "texts", "path": "somewhere"}
