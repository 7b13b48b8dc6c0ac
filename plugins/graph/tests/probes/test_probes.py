"""Probes: frozen specs, splits of the data, no leak of what is held out, and what chance scores."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unlabeled.probes.frozen import Frozen
from unlabeled_graph.baselines import Neighborhood, RawFeatures
from unlabeled_graph.data.blocks import Blocks
from unlabeled_graph.data.motifs import Motifs
from unlabeled_graph.probes.boosted import Boosted
from unlabeled_graph.probes.graphs import SVC10Fold, fold_scores
from unlabeled_graph.probes.links import LinkPrediction, random_pairs, undirected
from unlabeled_graph.probes.nodes import PublicSplit, RandomSplit, by_class, fit_linear
from unlabeled_graph.views.standard import Clean


def frozen(data, encoder, seed=0):
    ids = torch.arange(len(data))
    return Frozen(encoder, "no model", data, Clean(data.spec), ids, ids, seed)


def test_the_linear_probe_is_adam_from_zero():
    torch.manual_seed(0)
    x, y = torch.randn(30, 5), torch.arange(30) % 3
    layer = torch.nn.Linear(5, 3)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2, weight_decay=1e-4)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(layer(x), y).backward()
        optimizer.step()
    weight, bias = fit_linear(x, y, 3, lr=1e-2, decay=1e-4, epochs=20)
    torch.testing.assert_close(weight, layer.weight.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(bias, layer.bias.detach(), rtol=1e-4, atol=1e-6)


def test_a_random_split_is_scored_on_its_own_test():
    data = Blocks(nodes=120)
    y = data.all_labels

    def perfect(view):
        return F.one_hot(y[view.batch.ids], 4).float()

    probe = RandomSplit()
    assert probe.applies(data)
    assert not PublicSplit().applies(data)
    assert probe(frozen(data, perfect))["accuracy"] == 1.0
    assert probe.chance(frozen(data, None))["accuracy"] == pytest.approx(0.25, abs=0.05)
    part = data.split(0, "random")
    assert by_class(y, part.train, part.test) == probe.chance(frozen(data, None))["accuracy"]


def test_links_are_held_out_before_the_encoder_reads_them():
    data = Blocks(nodes=120)
    seen = []

    def remember(view):
        seen.append(view.batch.edges)
        return torch.randn(120, 4, generator=torch.Generator().manual_seed(0))

    found = LinkPrediction()(frozen(data, remember))
    assert seen[0].shape[1] < data.graph.edges.shape[1]
    kept, links = undirected(seen[0]), undirected(data.graph.edges)
    assert links.shape[1] - kept.shape[1] == round(0.1 * links.shape[1])
    assert abs(found["auc"] - 0.5) < 0.2


def test_neighborhoods_tell_links_apart():
    data = Blocks(nodes=200, mixing=0.05)

    def reachable(view):
        edges = view.batch.edges
        matrix = torch.zeros(200, 200).index_put((edges[1], edges[0]), torch.ones(edges.shape[1])) + torch.eye(200)
        return torch.linalg.matrix_power(matrix, 3) @ F.one_hot(torch.arange(200) % 4).float()

    assert LinkPrediction()(frozen(data, reachable))["auc"] > 0.6


def test_random_pairs_are_not_linked():
    links = undirected(Blocks(nodes=60).graph.edges)
    pairs = random_pairs(links, 60, 200, 0)
    key = pairs[0] * 60 + pairs[1]
    assert len(key.unique()) == len(key)
    assert bool((pairs[0] < pairs[1]).all())
    assert not bool(torch.isin(key, links[0] * 60 + links[1]).any())


def test_ten_folds_of_features_that_tell():
    data = Motifs(count=80)
    y = data.all_labels

    def perfect(view):
        return F.one_hot(y[view.batch.ids]).float()

    probe = SVC10Fold(folds=3, inner=2)
    assert probe.applies(data)
    assert probe(frozen(data, perfect))["accuracy"] == 1.0
    assert probe.chance(frozen(data, None))["accuracy"] == pytest.approx(0.25, abs=0.05)


def test_one_kernel_a_fold_is_sklearns_machine():
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    random = np.random.default_rng(0)
    y = np.arange(90) % 2
    x = random.normal(size=(90, 5)) * [1, 5, 9, 1, 1] + y[:, None]
    expected = []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=3).split(x, y):
        model = make_pipeline(StandardScaler(), SVC(C=2.0)).fit(x[train], y[train])
        expected.append(model.score(x[test], y[test]))
    assert fold_scores(x, y, folds=5, inner=3, seed=3, grid=(2.0,)) == expected


def test_trees_read_the_neighborhood_alone():
    data = Blocks(nodes=300, degree=12, mixing=0.1)
    assert Boosted().applies(data)
    assert not Boosted().applies(Motifs())
    assert Boosted()(frozen(data, RawFeatures())) == {}
    found = Boosted(rounds=20)(frozen(data, Neighborhood(data.spec)))["accuracy"]
    assert found > 2 * Boosted().chance(frozen(data, None))["accuracy"]
    data.all_labels = data.all_labels[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    assert Boosted(rounds=20)(frozen(data, Neighborhood(data.spec)))["accuracy"] < 0.5, "labels of other nodes"
