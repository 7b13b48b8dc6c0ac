"""GraphCLIP: texts of the graph and not of its view, an adversary that raises the loss, a temperature that learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_graph.data.motifs import Motifs
from unlabeled_graph.data.texts import hashed, summaries
from unlabeled_graph.encoders.layers import GCN, GPS
from unlabeled_graph.objectives.graph_clip import GraphCLIP
from unlabeled_graph.views.methods import Thinned


@pytest.fixture
def data():
    return Motifs(count=8)


def views_of(data, links=0.4):
    batch = data.__getitems__(range(8))
    return Thinned(data.spec, links=links)(batch, Draw(0, 0, batch.ids))


def clip(graph, text, temperature):
    logits = F.normalize(graph, dim=1) @ F.normalize(text, dim=1).T / temperature
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def test_a_text_is_of_the_whole_graph(data):
    torch.manual_seed(0)
    encoder, views = GCN(data.spec, width=8), views_of(data)
    objective = GraphCLIP(encoder, 8, inner=0)
    text = hashed(summaries(views[1].batch), 256)
    assert not torch.equal(text, hashed(summaries(views[0].batch), 256))
    graph = objective.project(encoder(views[0]).pooled)
    torch.testing.assert_close(objective(encoder, views).total, clip(graph, text, 0.07), rtol=1e-4, atol=1e-5)
    assert objective.needs.views == {"global": 1, "clean": 1}


def test_texts_of_a_file_are_those_of_the_samples(data, tmp_path):
    torch.manual_seed(0)
    texts = torch.randn(8, 5)
    np.savez(tmp_path / "texts.npz", embeddings=texts.numpy())
    encoder, (view, _) = GCN(data.spec, width=8), views_of(data)
    objective = GraphCLIP(encoder, 8, texts=str(tmp_path / "texts.npz"), inner=0)
    some = replace(view, batch=data.__getitems__([6, 2, 3]))
    graph = objective.project(encoder(some).pooled)
    torch.testing.assert_close(objective(encoder, [some]).total, clip(graph, texts[[6, 2, 3]], 0.07), rtol=1e-4, atol=0)


def test_the_temperature_learns_down_to_a_hundredth(data):
    encoder, views = GCN(data.spec, width=8), views_of(data)
    objective = GraphCLIP(encoder, 8, temperature=0.5, inner=0)
    loss = objective(encoder, views)
    loss.total.backward()
    assert objective.scale.grad != 0
    assert float(loss.parts["temperature"]) == pytest.approx(0.5)
    objective.scale.data.fill_(9.0)
    assert float(objective(encoder, views).parts["temperature"]) == pytest.approx(0.01)


class Watched(GCN):
    """Remembers what it read."""

    def forward(self, view, **more):
        self.read = [*getattr(self, "read", []), view.batch.x.detach()]
        return super().forward(view, **more)


def test_the_adversary_starts_at_random_and_climbs_within_its_steps(data):
    torch.manual_seed(0)
    encoder, views = Watched(data.spec, width=16), views_of(data)
    objective, x = GraphCLIP(encoder, 8, inner=4, radius=0.05), views[0].batch.x
    loss = objective(encoder, views).total
    changes = [read - x for read in encoder.read]
    assert len(changes) == 4, "no gradient is computed and thrown away"
    assert 0.045 < float(changes[0].abs().max()) <= 0.05
    assert abs(float(changes[0].mean())) < 0.005
    moved = torch.stack(changes).diff(dim=0)
    torch.testing.assert_close(moved.abs()[moved != 0], torch.full_like(moved[moved != 0], 0.05), rtol=0, atol=1e-6)
    text = hashed(summaries(views[1].batch), 256)

    def loss_at(change):
        view = View(views[0].batch.featured(x + change), "global")
        return clip(objective.project(encoder(view).pooled), text, 0.07)

    losses = torch.stack([loss_at(change) for change in changes])
    assert bool((losses[1:] > losses[:-1]).all()), "each step raises the loss"
    torch.testing.assert_close(loss, losses.mean(), rtol=1e-4, atol=1e-5)
    objective.clock.step += 1
    objective(encoder, views)
    assert not torch.equal(encoder.read[-4] - x, changes[0]), "another start in another step"


def test_what_edges_say_is_worked_out_once_for_all_steps_of_the_adversary(data):
    encoder, views = GPS(data.spec, width=8, walks=3), views_of(data)
    GraphCLIP(encoder, 8, inner=2)(encoder, views)
    batch = views[0].batch
    encoder(views[0])
    moved = batch.featured(batch.x + 1)
    assert moved.memo["return_chances", 3] is batch.memo["return_chances", 3]
