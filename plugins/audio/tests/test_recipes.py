"""Every recipe: a paper, a command, a config that builds, and steps that leave nothing unused."""

from __future__ import annotations

from typing import Any

import pytest

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.testing.recipes import check_description, check_steps

NAMES = [
    "atst_both", "atst_clip", "atst_frame", "barlow_twins", "beats", "beats_tokenizer", "best_rq", "byol", "cola",
    "data2vec", "dino", "dinosr", "eat", "hubert", "hubertopic", "i_jepa", "invariant_units", "lejepa", "mae",
    "mert", "metis", "moco_v2", "moco_v3", "simclr", "simmim", "simsiam", "soft_units", "ssamba", "ssast",
    "swav", "unfused", "vicreg", "vq_wav2vec", "vq_wav2vec_bert", "wav2vec2", "wavlm",
]  # fmt: skip
SMALL = {
    "vit": {"width": 32, "depth": 3, "heads": 2},
    "wav2vec2": {"width": 32, "depth": 2, "heads": 2, "channels": 16},
    "conformer": {"width": 32, "depth": 2, "heads": 2},
    "mamba": {"width": 32, "depth": 2},
    "cnn": {},
    "units": {"width": 32, "depth": 2, "heads": 2, "count": 8},
}
FEW = {"units": {"count": 8}}


def parts_of(name: str) -> Parts:
    raw = load_recipe("audio", name)
    encoder = raw.get("encoder", {"name": "vit"})["name"]
    over: dict[str, Any] = {"data": {"name": "syllables", "count": 60}, "encoder": {"name": encoder, **SMALL[encoder]}}
    tokenizer = raw.get("tokenizer", {}).get("name")
    if tokenizer in FEW:
        over["tokenizer"] = {"name": tokenizer, **FEW[tokenizer]}
    return build(resolve(merge(raw, over), "audio"))


def test_all_are_here() -> None:
    assert sorted(recipe_files("audio")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    check_description("audio", name, "clips/")
    assert "data" not in load_recipe("audio", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_leave_nothing_unused(name: str) -> None:
    check_steps(parts_of(name))
