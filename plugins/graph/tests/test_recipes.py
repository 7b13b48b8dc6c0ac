"""Every recipe: a paper, a command, a config that builds on nodes and graphs, and steps that leave nothing unused."""

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
    "barlow_twins", "bgrl", "byol", "cca_ssg", "d_sla", "data2vec", "dgi", "dino", "gca", "grace", "graph_clip",
    "graphcl", "graphmae", "graphmae2", "i_jepa", "infograph", "lejepa", "mae", "moco_v2", "moco_v3", "mvgrl",
    "node2vec", "pareto_gnn", "self_task", "simclr", "simmim", "simsiam", "ssqr", "swav", "vgae", "vicreg", "vqgraph",
]  # fmt: skip
NODES_ALONE = {"node2vec"}  # a table has a vector for each node of one graph


def parts_of(name: str, data: str = "karate") -> Parts:
    more: dict[str, Any] = {"data": {"name": data}, "training": {"batch_size": 16}}
    if name not in ("node2vec", "graph_clip", "mvgrl"):
        more["encoder"] = {"width": 32}
    return build(resolve(merge(load_recipe("graph", name), more), "graph"))


def test_all_are_here() -> None:
    assert sorted(recipe_files("graph")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    raw, text = load_recipe("graph", name), recipe_files("graph")[name].read_text()
    assert text.startswith("# ")
    assert f"https://arxiv.org/abs/{raw['paper']}" in text
    assert f"# unlabeled graph pretrain {name} --data cora.npz --out runs/{name}" in text
    assert "data" not in raw
    assert 0 < len(raw["summary"]) < 70


@pytest.mark.parametrize(
    ("name", "data"), [(n, d) for n in NAMES for d in ("karate", "motifs") if d == "karate" or n not in NODES_ALONE]
)
def test_a_few_steps_leave_nothing_unused(name: str, data: str) -> None:
    parts = parts_of(name, data)
    parts.encoder.train()
    parts.objective.train()
    choice = parts.config.parts["optimizer"]
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(parts.config.component("optimizer"), choice.settings, {"groups": groups})
    for step in range(2):
        loss = parts.objective(parts.encoder, parts.prepare(parts.data.__getitems__(range(16)), 0, step))
        optimizer.zero_grad()
        loss.total.backward()
        named = [*parts.encoder.named_parameters(), *parts.objective.named_parameters()]
        assert not [n for n, p in named if p.requires_grad and p.grad is None]
        assert all(torch.isfinite(p.grad).all() for _, p in named if p.grad is not None)
        optimizer.step()
        parts.objective.after_step(parts.encoder, Progress(step + 1, 2))
        assert torch.isfinite(loss.total)
        assert not [n for n, part in loss.parts.items() if part.requires_grad]
