"""Every recipe: a command, a config that builds, and steps that leave nothing unused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unlabeled.build import Parts, build, construct
from unlabeled.config import merge, resolve
from unlabeled.contract import Progress
from unlabeled.recipes import load_recipe, recipe_files
from unlabeled.training.optimizers import parameter_groups

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
    raw, text = load_recipe("text", name), recipe_files("text")[name].read_text()
    assert text.startswith("# ")
    assert f"# unlabeled text pretrain {name} --data texts/ --out runs/{name}" in text
    assert "https://" in text.split("summary:")[0] or name in ("whole_word", "simcse_spans")
    if "paper" in raw and name not in ("whole_word", "simcse_spans"):
        paper = raw["paper"].removeprefix("openreview:")
        where = "openreview.net/forum?id=" if paper != raw["paper"] else "arxiv.org/abs/"
        assert f"https://{where}{paper}" in text
    assert 0 < len(raw["summary"]) < 70
    assert resolve(raw, "text").parts["objective"].name == raw["objective"]["name"]


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_leave_nothing_unused(name: str) -> None:
    parts = parts_of(name)
    parts.encoder.train()
    parts.objective.train()
    choice = parts.config.parts["optimizer"]
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(parts.config.component("optimizer"), choice.settings, {"groups": groups})
    for step in range(2):
        loss = parts.objective(parts.encoder, parts.prepare(parts.data.__getitems__(range(12)), 0, step))
        optimizer.zero_grad()
        loss.total.backward()
        named = [*parts.encoder.named_parameters(), *parts.objective.named_parameters()]
        assert not [n for n, p in named if p.requires_grad and p.grad is None]
        assert all(torch.isfinite(p.grad).all() for _, p in named if p.grad is not None)
        optimizer.step()
        parts.objective.after_step(parts.encoder, Progress(step + 1, 2))
        assert torch.isfinite(loss.total)


def test_settings_of_a_recipes_data_hold_for_the_users_path() -> None:
    """CompoundPiece is about bytes, whichever texts it reads."""
    raw = merge(load_recipe("text", "compoundpiece"), {"data": {"name": "texts", "path": "somewhere"}})
    assert raw["data"] == {"tokenizer": "bytes", "name": "texts", "path": "somewhere"}
