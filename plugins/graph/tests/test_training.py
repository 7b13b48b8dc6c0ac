"""A run on nodes from data to embeddings: full batch, neighborhoods and clusters."""

import pytest
import torch

from unlabeled.build import build
from unlabeled.config.run import resolve
from unlabeled_graph.views.standard import Clean

PARTS = {
    "views": {"name": "augment"},
    "encoder": {"name": "gcn", "width": 8},
    "objective": {"name": "cca_ssg"},
    "optimizer": {"name": "adamw", "lr": 0.01},
}


def config(sampling, batch_size, **training):
    data = {"name": "karate", "sampling": sampling, "fanout": [3, 2], "cluster": 8}
    settings = {"epochs": 3, "batch_size": batch_size, "tensorboard": False, "accelerator": "cpu", **training}
    return resolve({**PARTS, "data": data, "training": settings}, "graph")


@pytest.mark.parametrize(("sampling", "batch_size"), [("whole", 0), ("neighbors", 8), ("clusters", 16)])
def test_a_run_on_nodes(sampling, batch_size, tmp_path):
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


def test_a_step_hands_out_the_graph_itself():
    parts = build(config("whole", 0))
    data = parts.data
    assert parts.config.training.batch_size == 34
    assert data.__getitems__(data.arrange(torch.randperm(34), 34).tolist()) is data.graph


def test_embeddings_of_nodes_follow_the_ids(tmp_path):
    from unlabeled.probes.embedding import embed

    parts = build(config("whole", 0))
    clean = Clean(parts.data.spec)
    read = []
    seen = parts.encoder.layout
    parts.encoder.layout = lambda batch: read.append(len(batch)) or seen(batch)
    whole = embed(parts.encoder, parts.data, clean, batch_size=8)
    assert read == [34], "the graph is read once"
    some = embed(parts.encoder, parts.data, clean, indices=torch.tensor([5, 2]), batch_size=1)
    assert torch.allclose(whole.x[[5, 2]], some.x, atol=1e-6)
