"""A run on nodes from data to embeddings: full batch, neighborhoods and clusters, resumed, on two ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import unlabeled
from unlabeled.build import build
from unlabeled.config.run import resolve
from unlabeled.testing.ranks import run_ranks
from unlabeled_graph.views.standard import Clean

PARTS = {
    "views": {"name": "augment"},
    "encoder": {"name": "gcn", "width": 8},
    "objective": {"name": "cca_ssg"},
    "optimizer": {"name": "adamw", "lr": 0.01},
}


def config(sampling: str, batch_size: int, **training: Any) -> Any:
    data = {"name": "karate", "sampling": sampling, "fanout": [3, 2], "cluster": 8}
    settings = {"epochs": 3, "batch_size": batch_size, "tensorboard": False, "accelerator": "cpu", **training}
    return resolve({**PARTS, "data": data, "training": settings}, "graph")


@pytest.mark.parametrize(("sampling", "batch_size"), [("whole", 0), ("neighbors", 8), ("clusters", 16)])
def test_a_run_on_nodes(sampling: str, batch_size: int, tmp_path: Path) -> None:
    from unlabeled.training.run import train

    parts = build(config(sampling, batch_size))
    before = {name: p.clone() for name, p in parts.encoder.named_parameters()}
    result = train(parts, tmp_path)
    steps = {"whole": 3, "neighbors": 12, "clusters": 6}[sampling]
    assert result.steps == steps
    assert result.loss is not None
    moved = [
        name for name, p in parts.encoder.named_parameters() if p.requires_grad and not torch.equal(p, before[name])
    ]
    assert len(moved) == sum(p.requires_grad for p in parts.encoder.parameters())


def test_a_step_hands_out_the_graph_itself() -> None:
    parts = build(config("whole", 0))
    data: Any = parts.data
    assert parts.config.training.batch_size == 34
    assert data.__getitems__(data.arrange(torch.randperm(34), 34).tolist()) is data.graph


def test_embeddings_of_nodes_follow_the_ids(tmp_path: Path) -> None:
    from unlabeled.probes.embedding import embed

    parts = build(config("whole", 0))
    clean = Clean(parts.data.spec)
    read: list[int] = []
    seen = parts.encoder.layout
    parts.encoder.layout = lambda batch: read.append(len(batch)) or seen(batch)
    whole = embed(parts.encoder, parts.data, clean, batch_size=8)
    assert read == [34], "the graph is read once"
    some = embed(parts.encoder, parts.data, clean, indices=torch.tensor([5, 2]), batch_size=1)
    assert torch.allclose(whole.x[[5, 2]], some.x, atol=1e-6)


def one_step(first: int, last: int) -> dict[str, Any]:
    """Loss and gradient of a step in which this rank has its share of all nodes."""
    import torch.distributed as dist

    from unlabeled.nn.distributed import convert_batchnorm, rank, world

    parts = build(config("whole", 0))
    if world() > 1:
        convert_batchnorm(parts.encoder)
    share = (last - first) // world()
    ids = list(range(first, last))[rank() * share : (rank() + 1) * share]
    loss = parts.loss(parts.data.__getitems__(ids), 0).total
    loss.backward()
    flat = torch.cat(
        [p.grad.flatten() for p in parts.encoder.parameters() if p.grad is not None] + [loss.detach()[None]]
    )
    if world() > 1:
        dist.all_reduce(flat)
        flat /= world()
    return {"flat": flat}


def test_two_ranks_that_hold_the_whole_graph_equal_one() -> None:
    one, two = one_step(0, 34)["flat"], run_ranks(one_step, 2, 0, 34)[0]["flat"]
    assert torch.allclose(one, two, atol=1e-5)


def test_a_run_by_its_name(tmp_path: Path) -> None:
    run = unlabeled.pretrain(
        "graph", recipe="dgi", out=tmp_path / "run", epochs=2, accelerator="cpu", tensorboard=False
    )
    assert run is not None
    assert (tmp_path / "run" / "encoder" / "model.safetensors").is_file()
