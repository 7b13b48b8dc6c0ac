"""node2vec: walks by its law, contexts that attract, negatives by frequency, and graphs without an edge."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.config.recipes import load_recipe
from unlabeled.contract import Features, Layout, View
from unlabeled.nn.chance import more_words, uniform
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.nodes import Nodes
from unlabeled_graph.data.raw import Raw, mend
from unlabeled_graph.encoders.table import Table
from unlabeled_graph.objectives.node2vec import Neighbors, Node2Vec, context_pairs, negatives, walk


@pytest.fixture
def edges():
    return Karate().graph.edges


def graph_of(links, count):
    """One graph of these links."""
    raw = Raw("links", "node", torch.ones(count, 1), torch.tensor(links, dtype=torch.int64).reshape(-1, 2).T, (count,))
    return Nodes(mend(raw, undirected=True, normalize=False), split="none")


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.25, 4.0), (4.0, 0.5)])
def test_walks_step_by_the_law_of_node2vec(edges, p, q):
    neighbors = Neighbors(edges, 34)
    before, at, count = 0, 2, 40_000
    start = torch.full((count,), at)
    chance = uniform(more_words(torch.arange(count), 1)[:, 0])
    found = neighbors.step(start, torch.full((count,), before), chance, p, q)
    near = edges[1][edges[0] == at]
    of_before = set(edges[1][edges[0] == before].tolist())
    law = torch.tensor([1 / p if n == before else 1.0 if n in of_before else 1 / q for n in near.tolist()])
    share = torch.bincount(found, minlength=34)[near] / count
    assert int(torch.bincount(found, minlength=34).sum()) == count
    assert float((share - law / law.sum()).abs().max()) < 0.01


def test_walks_follow_edges_and_stay_where_there_are_none(edges):
    alone = torch.tensor([34])
    start = torch.cat((torch.arange(34), alone))
    for p in (1.0, 0.5):
        path = walk(Neighbors(edges, 35), start, more_words(start, 1)[:, 0], 6, p, 2.0)
        assert path.shape == (35, 7)
        linked = Neighbors(edges, 35).linked(path[:34, :-1].flatten(), path[:34, 1:].flatten())
        assert bool(linked.all())
        assert path[34].unique().tolist() == [34]


def test_contexts_are_the_window():
    pairs = context_pairs(torch.tensor([[3, 5, 8]]), 2)
    assert sorted(map(tuple, pairs.T.tolist())) == [(3, 5), (3, 8), (5, 3), (5, 8), (8, 3), (8, 5)]


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (1.0, 0.5)])
def test_a_graph_without_an_edge_has_a_loss(p, q):
    data = graph_of([], 5)
    objective, table = Node2Vec(None, length=3, window=2, p=p, q=q), Table(data.spec, width=4)
    assert objective(table, [View(data.graph, "global")]).total.isfinite()
    assert walk(Neighbors(data.graph.edges, 5), torch.arange(5), torch.arange(5), 3, p, q).tolist() == [
        [n] * 4 for n in range(5)
    ]


def test_negatives_come_by_frequency_to_the_power_of_three_quarters():
    spokes = torch.stack((torch.zeros(16, dtype=torch.int64), torch.arange(1, 17)))
    star = torch.cat((spokes, spokes.flip(0)), 1)
    both = Layout((17, 18), torch.zeros(35, 0), edges=torch.cat((star, star + 17), 1))  # row 34 is alone
    row = torch.tensor([3, 20]).repeat_interleave(4000)
    found = negatives(both, row, more_words(torch.arange(8000), 4))
    assert torch.equal(both.group[found], both.group[row][:, None].expand(-1, 4))
    count = torch.bincount(found.flatten(), minlength=35) / 16000
    assert float(count[0]) == pytest.approx(8 / (8 + 16), abs=0.01)  # 16^0.75 is 8
    assert float(count[17]) == pytest.approx(8 / (8 + 17), abs=0.01)
    assert float(count[1:17].std()) < 0.005
    assert float(count[34]) == pytest.approx(1 / 25, abs=0.01)


class Fixed(torch.nn.Module):
    """Gives these vectors."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = torch.nn.Parameter(tokens)

    def forward(self, view):
        return Features(self.tokens, view.batch.layout, view.batch.pooled(self.tokens))


def test_the_loss_is_skip_gram_with_negative_samples():
    data, z = graph_of([[0, 1]], 2), torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    loss = Node2Vec(None, length=3, window=2, negatives=1)(Fixed(z), [View(data.graph, "global")])
    # a walk between two nodes: a b a b; pairs at distance 1 are of both, at distance 2 of one and itself
    both, own, other = (z[0] @ z[1]), (z[0] @ z[0]), (z[1] @ z[1])
    pairs = [both] * 6 + [own] * 2 + [other] * 2
    torch.testing.assert_close(loss.parts["context"], torch.stack([-F.logsigmoid(s) for s in pairs]).mean())
    torch.testing.assert_close(loss.total.detach(), loss.parts["context"] + loss.parts["negative"])
    equal = Node2Vec(None, length=3, window=2, negatives=5)(Fixed(torch.ones(2, 2)), [View(data.graph, "global")])
    torch.testing.assert_close(equal.parts["negative"], -5 * F.logsigmoid(torch.tensor(-2.0)))


def test_nodes_of_one_clique_come_together_and_others_apart():
    torch.manual_seed(0)
    links = [[a + s, b + s] for s in (0, 6) for a in range(6) for b in range(a)] + [[0, 6]]
    data = graph_of(links, 12)
    table, objective = Table(data.spec, width=4), Node2Vec(None, length=6, window=2)
    optimizer = torch.optim.Adam(table.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        objective(table, [View(data.graph, "global")]).total.backward()
        optimizer.step()
        objective.clock.step += 1
    z = table.table.weight.detach()
    products = z @ z.T
    assert float(products[:6, :6].mean()) > 0.5 + float(products[:6, 6:].mean())
    assert float(products[:6, 6:].mean()) < -0.1


def test_the_recipe_is_no_deepwalk():
    settings = load_recipe("graph", "node2vec")["objective"]
    assert (settings["p"], settings["q"]) != (1.0, 1.0)


def test_a_graph_is_sorted_once():
    data = Karate()
    objective, table = Node2Vec(None, length=2, window=1), Table(data.spec, width=2)
    objective(table, [View(data.__getitems__([3, 4]), "global")])
    found = data.graph.memo["neighbors"]
    objective(table, [View(data.__getitems__([5, 9]), "global")])
    assert data.graph.memo["neighbors"] is found
