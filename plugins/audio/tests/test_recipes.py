"""Every recipe: a paper, a command, a config that builds, and steps that leave nothing unused."""

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
    "atst_clip", "atst_frame", "barlow_twins", "beats", "beats_tokenizer", "best_rq", "byol", "cola",
    "data2vec", "dino", "dinosr", "eat", "hubert", "hubertopic", "i_jepa", "invariant_units", "lejepa", "mae",
    "mert", "metis", "moco_v2", "moco_v3", "simclr", "simmim", "simsiam", "soft_units", "ssamba", "ssast",
    "swav", "unfused", "vicreg", "vq_wav2vec", "wav2vec2", "wavlm",
]  # fmt: skip
SMALL = {
    "vit": {"width": 32, "depth": 3, "heads": 2},
    "wav2vec2": {"width": 32, "depth": 2, "heads": 2, "channels": 16},
    "conformer": {"width": 32, "depth": 2, "heads": 2},
    "mamba": {"width": 32, "depth": 2},
    "cnn": {},
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
    raw, text = load_recipe("audio", name), recipe_files("audio")[name].read_text()
    assert text.startswith("# ")
    assert f"https://arxiv.org/abs/{raw['paper']}" in text
    assert f"# unlabeled audio pretrain {name} --data clips/ --out runs/{name}" in text
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
