"""MVGRL: nodes of one view know the graph of the other, and are embedded by the diffusion they were trained on."""

import math

import pytest
import torch
import torch.nn.functional as F
from graph_samples import many, single

import unlabeled
from unlabeled.contract import Features, Needs, View
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.encoders.two_view import TwoView
from unlabeled_graph.objectives.mvgrl import MVGRL
from unlabeled_graph.ops.diffusion import diffuse
from unlabeled_graph.views.standard import Shuffle


class Roles(torch.nn.Module):
    """Gives each view the vectors of its role, and of its role with features swapped."""

    def __init__(self, spec, tokens):
        super().__init__()
        self.spec, self.dim, self.tokens = spec, 3, tokens

    def forward(self, view):
        layout = view.batch.layout
        x = self.tokens[view.role, view.swap is not None]
        pooled = x if layout.seeds is not None else 4 * layout.mean(x)  # a readout that is no mean
        return Features(x, layout, pooled)


def vectors(count):
    torch.manual_seed(0)
    return {(role, swapped): torch.randn(count, 3) for role in ("global", "diffusion") for swapped in (False, True)}


def views_of(batch):
    diffused = batch.altered()
    return [View(batch, "global"), View(diffused, "diffusion"), View(batch, "corrupt", swap=torch.arange(batch.total))]


def test_nodes_of_a_view_are_scored_against_the_graph_of_the_other():
    batch, z = single(7), vectors(7)
    objective = MVGRL(Roles(GraphSpec(6), z))
    found = objective(Roles(GraphSpec(6), z), views_of(batch))
    loss, rows = found.total, []
    for own, other in (("global", "diffusion"), ("diffusion", "global")):
        summary = objective.weight @ torch.sigmoid(z[other, False].mean(0))
        rows += [F.logsigmoid(z[own, False] @ summary), F.logsigmoid(-(z[own, True] @ summary))]
    torch.testing.assert_close(loss, -torch.cat(rows).mean())
    assert found.parts["accuracy"] == (torch.cat(rows).exp() > 0.5).float().mean() != 0.5


def test_nodes_are_scored_against_all_graphs_of_the_other_view():
    batch, z = many((3, 4, 2)).__getitems__([0, 1, 2]), vectors(9)
    spec = GraphSpec(6, level="graph")
    objective = MVGRL(Roles(spec, z))
    loss = objective(Roles(spec, z), views_of(batch)[:2]).total
    own, terms = torch.tensor([0] * 3 + [1] * 4 + [2] * 2), []
    for nodes, graphs in (("global", "diffusion"), ("diffusion", "global")):
        whole = torch.stack([4 * z[graphs, False][own == n].mean(0) for n in range(3)])
        score = objective.local_head(z[nodes, False]) @ objective.global_head(whole).T
        mine = F.one_hot(own, 3).bool()
        terms.append(F.softplus(-score[mine]).mean() + F.softplus(score[~mine]).mean() - 2 * math.log(2))
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_graphs_are_read_out_of_all_layers():
    batch = many((3, 4)).__getitems__([0, 1])
    encoder = TwoView(GraphSpec(6, level="graph"), width=5, depth=3, pool="sum", jump="cat")
    out = encoder(View(batch, "clean"))
    assert encoder.dim == 15
    near, far = encoder.near, encoder.far
    diffused = diffuse(batch, "ppr", 0.2, 64)
    layers = [near(View(batch, "clean"), layers=(n,)).layers[0].tokens for n in range(3)]
    others = [far(View(diffused, "clean"), layers=(n,)).layers[0].tokens for n in range(3)]
    both = torch.cat([a + b for a, b in zip(layers, others)], 1)
    torch.testing.assert_close(out.pooled, torch.stack((both[:3].sum(0), both[3:].sum(0))))


@pytest.mark.parametrize(
    ("settings", "diffusion"),
    [({"kernel": "heat"}, ("heat", 5.0, 64)), ({"alpha": 0.05}, ("ppr", 0.05, 64)), ({"keep": 4}, ("ppr", 0.2, 4))],
)
def test_clean_views_take_the_diffusion_that_was_trained_on(settings, diffusion):
    data, encoder = Karate(), TwoView(Karate().spec, width=4)
    encoder.prepare(Needs(views={"global": 1, "diffusion": 1}))
    seen = Shuffle(data.spec, diffusion=True, **settings)(data.graph, Draw(0, 0, data.graph.ids))[1]
    far = encoder(seen).tokens
    assert encoder.diffusion == diffusion
    clean = View(data.graph, "clean")
    torch.testing.assert_close(encoder(clean).tokens, encoder.near(clean).tokens + far)
    again = TwoView(data.spec, width=4, **encoder.resolved)
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again(clean).tokens, encoder(clean).tokens)


def test_a_run_is_embedded_by_its_own_diffusion(tmp_path):
    small = {"encoder": {"width": 4}, "views": {"kernel": "heat", "time": 3.0}, "epochs": 2, "tensorboard": False}
    run = unlabeled.pretrain("graph", recipe="mvgrl", data="karate", out=tmp_path / "run", **small)
    assert run.encoder.diffusion == ("heat", 3.0, 64)


def test_an_encoder_of_another_diffusion_is_refused():
    data = Karate()
    encoder = TwoView(data.spec, width=4, alpha=0.5)
    encoder.prepare(Needs(views={"global": 1, "diffusion": 1}))
    seen = View(diffuse(data.graph, "ppr", 0.2, 64), "diffusion")
    with pytest.raises(UsageError, match=r"the views diffuse by ppr 0\.2 64, the encoder by ppr 0\.5 64"):
        encoder(seen)
