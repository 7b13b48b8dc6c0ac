"""Every recipe: a paper, a command, a config that builds on nodes and graphs, and steps that leave nothing unused."""

from __future__ import annotations

from typing import Any

import pytest

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.testing.recipes import check_description, check_steps

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
    check_description("graph", name, "cora.npz")
    assert "data" not in load_recipe("graph", name)


@pytest.mark.parametrize(
    ("name", "data"), [(n, d) for n in NAMES for d in ("karate", "motifs") if d == "karate" or n not in NODES_ALONE]
)
def test_a_few_steps_leave_nothing_unused(name: str, data: str) -> None:
    check_steps(parts_of(name, data), samples=16)
