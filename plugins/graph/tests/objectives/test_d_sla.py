"""D-SLA: no shortcut tells a graph from its edits, no graph costs more than it says, and each term is the paper's."""

import pytest
import torch
import torch.nn.functional as F
from graph_samples import many, random_links

from unlabeled.build import make
from unlabeled.contract import Features, View
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled_graph.batch import GraphSpec, graph_batch
from unlabeled_graph.encoders.layers import GIN
from unlabeled_graph.objectives.d_sla import DSLA, edit_loss
from unlabeled_graph.views.methods import Perturb

SPEC = GraphSpec(4, 3, "graph")


def bonds(count, first=0):
    """Random graphs whose links are of three kinds, and one node of each is like any other."""
    made = []
    for number in range(first, first + count):
        edges = random_links(10, 0.3, number)
        words = Draw(number, 0, torch.zeros(1, dtype=torch.int64)).words(100, 9)[0]
        kind = words[edges.min(0).values * 10 + edges.max(0).values] % 3
        made.append((torch.ones(10, 4), edges, F.one_hot(kind, 3).float()))
    return graph_batch(range(first, first + count), made)


def test_a_new_link_is_like_a_real_one_of_its_graph():
    batch = bonds(6)
    for view in Perturb(SPEC)(batch, Draw(0, 0, batch.ids))[1:]:
        assert bool((view.batch.edge_attr.sum(1) == 1).all())
        assert bool((view.batch.edge_attr.amax(1) == 1).all()), "a kind, no mean of kinds"
        place = view.batch.edges[0] * 100 + view.batch.edges[1]
        back = torch.argsort(view.batch.edges[1] * 100 + view.batch.edges[0])
        assert torch.equal(view.batch.edge_attr[torch.argsort(place)], view.batch.edge_attr[back]), "in both directions"


def test_random_graphs_are_picked_by_chance():
    torch.manual_seed(0)
    views, encoder = Perturb(SPEC, rows=0.0, hops=0), GIN(SPEC, width=16, depth=2, jump="last", pool="mean")
    objective = DSLA(encoder, edit=0.0, margin_weight=0.0)
    weights = [*encoder.parameters(), *objective.parameters()]
    optimizer = torch.optim.Adam([p for p in weights if p.requires_grad], lr=0.01)
    for step in range(40):
        batch = bonds(32, 32 * step)
        loss = objective(encoder, views(batch, Draw(0, 0, batch.ids))).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch = bonds(128, 10_000)
    with torch.no_grad():
        seen = objective._encoded(encoder, views(batch, Draw(0, 0, batch.ids)))
        picked = torch.stack([objective.score(x)[:, 0] for x in seen]).argmax(0) == 0
    assert float(picked.float().mean()) < 0.45  # chance is 0.25; a mean of all kinds gave 0.9


def test_single_nodes_and_graphs_without_links_cost_little():
    data = many((1, 6, 1, 9, 2), chance=0.4)
    batch, encoder = data.__getitems__(range(5)), GIN(data.spec, width=8)
    objective = DSLA(encoder)
    loss = objective(encoder, Perturb(data.spec)(batch, Draw(0, 0, batch.ids)))
    loss.total.backward()
    assert loss.total.item() < 100
    assert max(float(p.grad.norm()) for p in encoder.parameters() if p.grad is not None) < 1e4
    assert edit_loss(torch.rand(3, 2), torch.zeros(3, 2)).tolist() == [0.0, 0.0]


class Fixed(torch.nn.Module):
    """Gives vectors that are known, and remembers how often it was asked."""

    def __init__(self, pooled):
        super().__init__()
        self.dim, self.pooled, self.asked = pooled.shape[1], pooled, 0

    def layout(self, batch):
        return batch.layout

    def forward(self, view):
        self.asked += 1
        return Features(self.pooled, view.layout, self.pooled)


def test_the_loss_is_the_paper_s_of_one_pass():
    torch.manual_seed(0)
    batch = many((4, 5, 6), chance=0.5).__getitems__([0, 1, 2])
    z = torch.randn(3, 3, 2, dtype=torch.float64)  # original and two perturbations of three graphs
    encoder = Fixed(z.flatten(0, 1))
    objective = DSLA(encoder, margin=2.0).double()
    edits = torch.tensor([[2.0, 4.0, 2.0], [4.0, 6.0, 4.0]])
    roles = ("global", "perturbed", "perturbed")
    views = [View(batch, role, params={"edits": e}) for role, e in zip(roles, (0 * edits[0], *edits), strict=True)]
    loss = objective(encoder, views)
    assert encoder.asked == 1, "batch norms see the graph and its perturbations together"
    score = objective.score(z.flatten(0, 1))[:, 0].view(3, 3)
    pick = -(score.softmax(0)[0]).log().mean()
    apart = (z[1:] - z[0]).norm(dim=2)
    edit = ((apart[0] / edits[0] - apart[1] / edits[1]) ** 2).mean()
    margin = [
        max(0.0, 2.0 + float(apart[v, b] - (z[0, b] - z[0, o]).norm()))
        for v in range(2)
        for b in range(3)
        for o in range(3)
        if o != b
    ]
    expected = pick + 0.7 * edit + 0.5 * sum(margin) / len(margin)
    torch.testing.assert_close(loss.total, expected, rtol=1e-5, atol=1e-6)


def test_nodes_of_one_graph_are_refused():
    encoder = make("graph", "encoder", "gin", {}, {"spec": GraphSpec(4)})
    with pytest.raises(UsageError, match="d_sla compares many graphs, and the data are nodes of one"):
        DSLA(encoder)
