"""How every objective of this plugin behaves: ranks, saved state, precision, and errors that name the mistake."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import torch

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import merge, resolve
from unlabeled.contract import Loss, Progress, View, after_step
from unlabeled.errors import UsageError
from unlabeled.nn.distributed import convert_batchnorm, rank, world
from unlabeled.testing.ranks import run_ranks

OWN = [
    "bgrl", "cca_ssg", "d_sla", "dgi", "gca", "grace", "graph_clip", "graphcl", "graphmae", "graphmae2", "infograph",
    "mvgrl", "node2vec", "pareto_gnn", "self_task", "ssqr", "vgae", "vqgraph",
]  # fmt: skip
SIZE = 8
PLAIN = {"name": "gcn", "width": 8, "depth": 2}


def parts_of(name: str, data: str = "motifs", **objective: Any) -> Parts:
    """A recipe with a small GCN, no dropout, on generated graphs."""
    raw = merge(load_recipe("graph", name), {"data": {"name": data}, "training": {"batch_size": SIZE}})
    parts = build(resolve(merge(raw, {"encoder": PLAIN, "objective": objective}), "graph"))
    for module in parts.objective.modules():  # decoders have it, and it draws from the global generator
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    parts.encoder.train()
    parts.objective.train()
    return parts


def loss_of(parts: Parts, ids: list[int], epoch: int = 0, dtype: torch.dtype = torch.float32) -> Loss:
    views = parts.prepare(parts.data.__getitems__(ids), 0, epoch)
    loss: Loss = parts.objective(parts.encoder, [in_precision(view, dtype) for view in views])
    return loss


def in_precision(view: View, dtype: torch.dtype) -> View:
    batch: Any = view.batch
    if batch.x.dtype == dtype:
        return view
    weight = None if batch.weight is None else batch.weight.to(dtype)
    content = None if view.content is None else view.content.to(dtype)
    return replace(view, batch=batch.altered(x=batch.x.to(dtype), weight=weight), content=content)


def rank_steps(names: list[str], dtype: torch.dtype) -> dict[str, Any]:
    """Loss and gradient of each recipe on this rank's share of a batch, averaged over ranks."""
    found: dict[str, Any] = {}
    for name in names:
        parts = parts_of(name)
        parts.encoder.to(dtype)
        parts.objective.to(dtype)
        if world() > 1:
            convert_batchnorm(parts.encoder)
            convert_batchnorm(parts.objective)
        share = SIZE // world()
        loss = loss_of(parts, list(range(rank() * share, (rank() + 1) * share)), dtype=dtype).total
        loss.backward()
        weights = [*parts.encoder.parameters(), *parts.objective.parameters()]
        flat = torch.cat([p.grad.flatten() for p in weights if p.grad is not None] + [loss.detach()[None]])
        if world() > 1:
            torch.distributed.all_reduce(flat)
            flat /= world()
        found[name] = flat
    return found


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-4), (torch.float64, 1e-6)])
def test_two_ranks_are_one_in_value_and_gradient(dtype: torch.dtype, most: float) -> None:
    one, two = rank_steps(OWN, dtype), run_ranks(rank_steps, 2, OWN, dtype)[0]
    gaps = {name: float((two[name] - one[name]).norm() / one[name].norm()) for name in OWN}
    assert not {name: gap for name, gap in gaps.items() if not gap < most}


@pytest.mark.parametrize("name", OWN)
def test_bfloat16_changes_the_loss_little(name: str) -> None:
    parts = parts_of(name)
    ids = list(range(SIZE))
    expected = loss_of(parts, ids).total.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(parts, ids).total
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=0.05, abs=0.02)
    loss.backward()
    weights = [*parts.encoder.parameters(), *parts.objective.parameters()]
    found = [p.grad for p in weights if p.grad is not None]
    assert found
    assert all(bool(g.isfinite().all()) for g in found)


@pytest.mark.parametrize("name", OWN)
def test_saved_state_goes_on_with_the_same_loss(name: str) -> None:
    parts, other = parts_of(name), parts_of(name)
    loss_of(parts, list(range(SIZE))).total.backward()
    after_step(parts.objective, parts.encoder, Progress(1, 10))
    with torch.no_grad():
        for p in [*parts.encoder.parameters(), *parts.objective.parameters()]:
            p += 0.01
    for ours, theirs in ((parts.encoder, other.encoder), (parts.objective, other.objective)):
        file = io.BytesIO()
        torch.save(ours.state_dict(), file)
        file.seek(0)
        theirs.load_state_dict(torch.load(file, weights_only=True))
    ids = list(range(SIZE))
    torch.testing.assert_close(loss_of(other, ids, 1).total, loss_of(parts, ids, 1).total, rtol=0, atol=0)


@pytest.mark.parametrize("name", OWN)
def test_losses_are_finite_where_all_rows_are_alike_or_large(name: str) -> None:
    parts = parts_of(name)
    for scale in (0.0, 1e4):
        batch = parts.data.__getitems__(range(SIZE))
        batch = batch.altered(x=batch.x * scale)  # type: ignore[attr-defined]
        loss = parts.objective(parts.encoder, parts.prepare(batch, 0, 0)).total
        assert bool(torch.isfinite(loss)), scale


def test_draws_change_with_the_step() -> None:
    parts = parts_of("vgae")
    ids = list(range(SIZE))
    first = loss_of(parts, ids).total
    assert loss_of(parts, ids).total == first
    after_step(parts.objective, parts.encoder, Progress(1, 10))
    assert loss_of(parts, ids).total != first


@pytest.mark.parametrize("task", ["degree", "links", "hops", "clusters", "attributes", "similarity"])
@pytest.mark.parametrize("data", ["karate", "motifs"])
def test_each_task_of_self_task_learns(task: str, data: str) -> None:
    parts = parts_of("self_task", data, task=task)
    optimizer = torch.optim.Adam([p for m in (parts.encoder, parts.objective) for p in m.parameters()], lr=0.02)
    losses = []
    for _ in range(15):
        loss = loss_of(parts, list(range(SIZE))).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_texts_are_read_and_checked(tmp_path: Any) -> None:
    import numpy as np

    from unlabeled_graph.data.texts import hashed, read_texts, summaries

    path = tmp_path / "texts.npz"
    np.savez(path, embeddings=np.ones((5, 3)))
    assert read_texts(str(path), 5).shape == (5, 3)
    with pytest.raises(UsageError, match="the data has 6 samples"):
        read_texts(str(path), 6)
    np.savez(path, other=np.ones(3))
    with pytest.raises(UsageError, match="it must have embeddings"):
        read_texts(str(path), 5)
    with pytest.raises(UsageError, match="missing"):
        read_texts(str(tmp_path / "missing.npz"), 5)
    for data in ("karate", "motifs"):
        found = summaries(parts_of("grace", data).data.__getitems__(range(4)))
        assert len(found) == 4
        assert len(set(found)) > 1
        torch.testing.assert_close(hashed(found, 64).norm(dim=1), torch.ones(4))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("graphmae", {"power": 0.5}, "power is 0.5; it must be at least 1"),
        ("graphmae2", {"remask": 1.0}, "remask is 1.0"),
        ("grace", {"temperature": 0.0}, "temperature is 0.0"),
        ("bgrl", {"momentum": 1.5}, "momentum is 1.5"),
        ("vqgraph", {"codes": 1}, "codes is 1"),
        ("vqgraph", {"power": 0.5}, "power is 0.5; it must be at least 1"),
        ("node2vec", {"p": 0.0}, "p is 0.0"),
    ],
)
def test_a_bad_setting_is_named(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parts_of(name, **settings)
