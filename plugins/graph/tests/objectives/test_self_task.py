"""SelfTask: each of its tasks can be learned, on one graph and on many; VGAE draws anew in each step."""

import pytest
import torch

from unlabeled.build import build
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import merge, resolve
from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step

SIZE = 8
PLAIN = {"name": "gcn", "width": 8, "depth": 2}


def parts_of(name, data="motifs", **objective):
    """A recipe with a small GCN on generated graphs."""
    raw = merge(load_recipe("graph", name), {"data": {"name": data}, "training": {"batch_size": SIZE}})
    return build(resolve(merge(raw, {"encoder": PLAIN, "objective": objective}), "graph"))


def loss_of(parts):
    views = parts.prepare(parts.data.__getitems__(range(SIZE)), 0, 0)
    loss = parts.objective(parts.encoder, views).total
    return loss


@pytest.mark.parametrize("task", ["degree", "links", "hops", "clusters", "attributes", "similarity"])
@pytest.mark.parametrize("data", ["karate", "motifs"])
def test_each_task_can_be_learned(task, data):
    parts = parts_of("self_task", data, task=task)
    optimizer = torch.optim.Adam([p for m in (parts.encoder, parts.objective) for p in m.parameters()], lr=0.02)
    losses = []
    for _ in range(15):
        loss = loss_of(parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_draws_change_with_the_step():
    parts = parts_of("vgae")
    first = loss_of(parts)
    assert loss_of(parts) == first
    after_step(parts.objective, parts.encoder, Progress(1, 10))
    assert loss_of(parts) != first


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vqgraph", {"codes": 1}, "codes is 1"),
        ("vqgraph", {"power": 0.5}, "power is 0.5; it must be at least 1"),
        ("node2vec", {"p": 0.0}, "p is 0.0"),
    ],
)
def test_a_wrong_setting_is_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        parts_of(name, **settings)
