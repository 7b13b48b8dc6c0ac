"""Views of single methods: what is central is spared, edits are counted, and no graph depends on its batch."""

import pytest
import torch
from graph_samples import many

from unlabeled.draw import Draw
from unlabeled_graph.batch import is_symmetric
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.motifs import Motifs
from unlabeled_graph.views.methods import Adaptive, Perturb, Thinned, centrality, chances


def keys(edges, total):
    return set((edges[0] * total + edges[1]).tolist())


def test_what_is_central_is_dropped_less():
    data = Karate()
    views, edges = Adaptive(data.spec, links=(0.3, 0.3), columns=(0.0, 0.0)), data.graph.edges
    count = torch.zeros(34 * 34)
    for epoch in range(60):
        for view in views(data.graph, Draw(0, epoch, data.graph.ids)):
            kept = view.batch.edges
            assert is_symmetric(kept, 34)
            count[kept[0] * 34 + kept[1]] += 1
    share = count[edges[0] * 34 + edges[1]] / 120
    hub = centrality(data.graph, "degree")[edges].mean(0)
    assert float(1 - share.mean()) == pytest.approx(0.3, abs=0.05)
    assert float(share[hub > hub.median()].mean()) > float(share[hub <= hub.median()].mean()) + 0.1


def test_chances_have_their_mean_and_their_bound():
    torch.manual_seed(0)
    found = chances(torch.rand(3, 500), 0.2, 1.0)
    torch.testing.assert_close(found.mean(1), torch.full((3,), 0.2))
    assert float(chances(torch.rand(1, 500), 0.6, 0.7).max()) <= 0.7
    assert bool(chances(torch.ones(1, 4), 0.5, 0.7).isfinite().all())


def test_pagerank_sums_to_the_nodes():
    assert float(centrality(Karate().graph, "pagerank").sum()) == pytest.approx(34, abs=0.5)


def test_edits_are_as_many_as_they_say():
    data = Karate()
    views = Perturb(data.spec, strengths=(0.1, 0.3), hops=0)(data.graph, Draw(0, 0, data.graph.ids))
    before = keys(views[0].batch.edges, 34)
    assert views[0].params["edits"].tolist() == [0.0] * 34
    for view, share in zip(views[1:], (0.1, 0.3), strict=True):
        after = keys(view.batch.edges, 34)
        assert len(before - after) == len(after - before) == 2 * round(share * 78)
        torch.testing.assert_close(view.params["edits"], torch.full((34,), 2.0 * round(share * 78)))


def test_edits_lie_around_a_node_whose_neighbors_are_hidden_in_all_views():
    data = Motifs(count=20, smallest=30, largest=40)
    batch = data.__getitems__([7, 3, 12])
    views = Perturb(data.spec, strengths=(0.01, 0.4), rows=0.5, hops=2)(batch, Draw(0, 0, batch.ids))
    assert views[0].params["edits"].tolist() == [0.0] * 3
    for number in range(3):
        whole = batch[number : number + 1]
        before, touched = keys(whole.edges, 100), set()
        for view in views:
            part = view.batch[number : number + 1]
            changed = keys(part.edges, 100) ^ before
            assert view.params["edits"][number] == len(changed) / 2
            touched |= {n for key in changed for n in divmod(key, 100)}
            touched |= set(torch.nonzero((part.x == 0).all(1))[:, 0].tolist())
        links = whole.edges.T.tolist()
        near = [{t for s, t in links if s == n} | {n} for n in range(whole.total)]
        balls = [set().union(*(near[m] for m in near[n])) for n in range(whole.total)]
        inside = [ball for ball in balls if touched <= ball]
        assert inside, "all that changes lies within two steps of one node"
        hidden = [int((v.batch[number : number + 1].x == 0).all(1).sum()) for v in views]
        assert len(set(hidden)) == 1, "as many in the graph itself"
        assert hidden[0] in {round(0.5 * len(ball)) for ball in inside}
    assert bool((views[1].params["edits"] == 2).all())  # one link dropped and one added at least


def test_nothing_to_change_is_no_edit():
    data = many((1, 6, 2), chance=0.0)
    views = Perturb(data.spec)(data.__getitems__([0, 1, 2]), Draw(0, 0, torch.arange(3)))
    assert all(view.params["edits"].tolist() == [0.0] * 3 for view in views)


def test_the_whole_graph_stands_beside_the_thinned():
    data = Karate()
    thin, whole = Thinned(data.spec, links=0.25)(data.graph, Draw(0, 0, data.graph.ids))
    assert whole.batch is data.graph
    assert thin.batch.edges.shape[1] == 2 * (78 - round(0.25 * 78))
