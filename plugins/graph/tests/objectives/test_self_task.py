"""SelfTask: what each of its tasks asks, of which nodes, and that it can be learned; VGAE draws anew in each step."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from graph_samples import opposite, squares
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import shortest_path

from unlabeled.build import build
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import merge, resolve
from unlabeled.contract import Layout, Progress, Rows, View
from unlabeled.errors import UsageError
from unlabeled.nn.clock import after_step
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.nodes import Nodes
from unlabeled_graph.data.raw import Raw, mend
from unlabeled_graph.encoders.layers import GCN
from unlabeled_graph.objectives.self_task import SelfTask
from unlabeled_graph.ops.distances import label_context, label_distances

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


def asked_of_squares(task):
    """Encoder, objective and view of two rings of four nodes, of each of which two nodes are hidden."""
    torch.manual_seed(0)
    batch, encoder = squares(), GCN(GraphSpec(6, level="graph"), width=5)
    hidden = Rows(torch.tensor([0, 3, 5, 6]), (2, 2)) if task == "attributes" else None
    view = View(batch, "global", layout=batch.layout, content=batch.x, hidden=hidden)
    return encoder, SelfTask(encoder, 6, task=task), view


def test_degree_is_the_log_of_the_links():
    encoder, objective, view = asked_of_squares("degree")
    guess = objective.head(encoder(view).tokens)[:, 0]
    torch.testing.assert_close(objective(encoder, [view]).total, (guess - torch.tensor(3.0).log()).square().mean())


def test_attributes_are_those_of_hidden_nodes():
    encoder, objective, view = asked_of_squares("attributes")
    rows = view.hidden.index
    guess = objective.head(encoder(view).tokens[rows])
    torch.testing.assert_close(objective(encoder, [view]).total, (guess - view.content[rows]).square().mean())


def test_similarity_is_the_cosine_of_linked_and_of_unlinked_pairs():
    encoder, objective, view = asked_of_squares("similarity")
    z, x = encoder(view).tokens, view.content
    pairs = torch.cat((view.batch.edges, opposite(view.batch.edges)), 1)
    guess = objective.head((z[pairs[0]] - z[pairs[1]]).abs())[:, 0]
    truth = F.cosine_similarity(x[pairs[0]], x[pairs[1]])
    torch.testing.assert_close(objective(encoder, [view]).total, (guess - truth).square().mean())


def test_links_are_those_that_the_view_left_out_against_pairs_that_are_none():
    encoder, objective, view = asked_of_squares("links")
    gone = torch.tensor([0, 2])  # 1 -> 0 and back
    kept = torch.ones(16, dtype=torch.bool).index_fill(0, gone, False)
    thin = replace(view, batch=view.batch.altered(edges=view.batch.edges[:, kept]), layout=None)
    z, linked = encoder(thin).tokens, view.batch.edges[:, gone]
    true, false = (objective.head((z[a] - z[b]).abs())[:, 0] for a, b in (linked, opposite(linked)))
    expected = -torch.cat((F.logsigmoid(true), F.logsigmoid(-false))).mean()
    torch.testing.assert_close(objective(encoder, [thin, replace(view, role="clean")]).total, expected)


def test_hops_are_counted_on_the_whole_graph():
    data = Karate()
    objective = SelfTask(GCN(data.spec, width=4), 34, task="hops", sources=5)
    matrix = coo_matrix((torch.ones(156).numpy(), data.graph.edges.numpy()), (34, 34))
    steps = torch.from_numpy(shortest_path(matrix, unweighted=True)).long()
    seen = set()
    for step in range(5):
        objective.clock.step.fill_(step)
        pairs, truth = objective._measured(View(data.graph, "global"), data.graph.layout)
        assert len(pairs[0].unique()) <= 5
        assert torch.equal(truth, steps[pairs[0], pairs[1]].clamp(max=4) - 1)
        seen |= set(truth.tolist())
    assert seen == {0, 1, 2, 3}


# ------------------------------------------------------------------------------------------- tasks of labels


def path_of_five(teach=True, test=(3,)):
    """0 - 1 - 2 - 3 - 4; 0 and 4 are labeled train nodes, the label of 3 is of the test."""
    x, y = torch.eye(5), torch.tensor([0, -1, -1, 1, 1])
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    sets = {"train": torch.tensor([0, 4]), "test": torch.tensor(test)}
    raw = Raw("path", "node", x, edges, (5,), y, ("a", "b"), sets=sets)
    return Nodes(mend(raw, undirected=True, normalize=False), split="public", teach=teach)


def test_only_labels_of_train_nodes_are_handed_out():
    data = path_of_five()
    assert data.graph.y.tolist() == [0, -1, -1, -1, 1]
    assert data.__getitems__([3, 4]).y.tolist() == [0, -1, -1, -1, 1]
    assert "and the labels of 2 train nodes" in data.describe()
    assert path_of_five(teach=False).graph.y is None
    assert "without labels" in path_of_five(teach=False).describe()


def test_distances_are_those_to_each_classs_labeled_nodes():
    edges = path_of_five().graph.edges
    layout = Layout((5,), torch.zeros(5, 0), edges=edges)
    found = label_distances(layout, torch.tensor([0, 0, -1, -1, -1]), 2, depth=3).view(5, 2, 3)
    assert found[2, 0].tolist() == [1.0, 1.5, 2.0]
    assert found[4, 0].tolist() == [3.0, 3.5, 4.0], "4 is farther than 3"
    assert bool((found[:, 1] == 4).all()), "no node of the other class"


def test_a_context_is_what_labels_around_say():
    data = path_of_five()
    layout = Layout((5,), torch.zeros(5, 0), edges=data.graph.edges)
    found = label_context(layout, data.graph.y, 2)
    torch.testing.assert_close(found.sum(1), torch.ones(5))
    assert float(found[1, 0]) > 0.5 > float(found[3, 0])
    torch.testing.assert_close(found[2], torch.tensor([0.5, 0.5]), rtol=0, atol=1e-4)
    assert label_context(layout, torch.tensor([0, -1, 0, -1, -1]), 2)[1].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("task", ["distances", "context"])
def test_the_joint_loss_is_of_labeled_nodes_and_of_the_others(task):
    torch.manual_seed(0)
    data = path_of_five()
    encoder = GCN(data.spec, width=4)
    objective, view = SelfTask(encoder, 5, task=task, supervised=0.3), View(data.graph, "global")
    loss, tokens = objective(encoder, [view]), encoder(view).tokens
    target = {"distances": label_distances, "context": label_context}[task](data.graph.layout, data.graph.y, 2)
    guess = objective.head(tokens) if task == "distances" else objective.head(tokens).softmax(1)
    pretext = (guess - target)[1:4].square().mean()
    labels = F.cross_entropy(objective.classify(tokens[[0, 4]]), torch.tensor([0, 1]))
    torch.testing.assert_close(loss.total, 0.3 * labels + pretext)
    torch.testing.assert_close(loss.parts[task], pretext.detach())


def test_labels_that_are_not_there_are_asked_for():
    data = path_of_five(teach=False)
    for settings in ({"task": "context"}, {"supervised": 1.0}):
        with pytest.raises(UsageError, match=r"reads labels: give --data\.teach true"):
            SelfTask(GCN(data.spec, width=4), 5, **settings)
    with pytest.raises(UsageError, match="has no classes: teach needs some"):
        Nodes(mend(Raw("x", "node", torch.eye(3), torch.tensor([[0, 1], [1, 2]]), (3,)), undirected=True,
                   normalize=False), teach=True)  # fmt: skip
