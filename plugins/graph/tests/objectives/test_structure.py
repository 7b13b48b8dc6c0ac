"""Objectives of features, links, walks and codes, against PyG, scipy, vector-quantize-pytorch, and the papers."""

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import shortest_path
from torch.distributions import Normal

from unlabeled.contract import Layout, View
from unlabeled.draw import Purpose
from unlabeled.nn.chance import below, more_words, normal, permute_rows, row_words, uniform
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.encoders.layers import GCN
from unlabeled_graph.objectives.self_task import missing_edges
from unlabeled_graph.objectives.vgae import VGAE, kl_rows, recon_loss
from unlabeled_graph.ops.distances import centers, degrees, hops
from unlabeled_graph.ops.links import absent_edges
from unlabeled_graph.ops.pyg import nn as pyg


@pytest.fixture
def edges():
    return Karate().graph.edges


def layout(edges, lengths):
    return Layout(lengths, torch.zeros(sum(lengths), 0), edges=edges)


def test_links_and_divergence_are_pyg_s(edges):
    torch.manual_seed(0)
    z, log_std = 0.3 * torch.randn(34, 8), 0.1 * torch.randn(34, 8)
    absent = torch.randint(34, edges.shape)
    expected = pyg.GAE(torch.nn.Identity()).recon_loss(z, edges, absent)
    torch.testing.assert_close(recon_loss(z, edges, absent), expected, rtol=1e-5, atol=1e-5)
    oracle = pyg.VGAE(torch.nn.Identity())
    torch.testing.assert_close(kl_rows(z, log_std).mean(), oracle.kl_loss(z, log_std), rtol=1e-5, atol=1e-6)


def test_links_are_read_off_noisy_codes_beside_their_divergence():
    """Equation 8 of the paper: codes are mean + std * noise; the divergence weighs ``kl`` a node."""
    torch.manual_seed(0)
    data = Karate()
    view = View(data.graph, "global")
    encoder = GCN(data.spec, width=6)
    plain, noisy = VGAE(encoder, noise=False), VGAE(encoder, kl=0.3)
    torch.nn.init.normal_(noisy.log_std.weight)
    found = noisy(encoder, [view])
    mean = encoder(view).tokens
    log_std = noisy.log_std(mean)
    layout = encoder(view).layout
    absent = absent_edges(row_words(view, layout, noisy.clock.step, Purpose.EDGE), layout.edges, layout)
    noise = normal(row_words(view, layout, noisy.clock.step, Purpose.NOISE), 6)
    recon = recon_loss(mean + noise * log_std.clamp(max=10).exp(), layout.edges, absent)
    divergence = torch.distributions.kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(found.total, recon + 0.3 * divergence, rtol=1e-4, atol=1e-4)
    gae = plain(encoder, [view])
    torch.testing.assert_close(gae.total, recon_loss(mean, layout.edges, absent))
    assert gae.parts["kl"] == 0


def test_hops_are_shortest_paths(edges):
    matrix = coo_matrix((np.ones(edges.shape[1]), edges.numpy()), (34, 34))
    expected = torch.from_numpy(shortest_path(matrix, unweighted=True)).long()
    sources = torch.tensor([0, 11, 33])
    torch.testing.assert_close(hops(edges, sources, 34, 3), expected[:, sources].clamp(max=4))
    torch.testing.assert_close(degrees(edges, 34), torch.bincount(edges[0], minlength=34))


def test_centers_are_the_hubs_of_clusters(edges):
    ring = torch.stack((torch.arange(12), (torch.arange(12) + 1) % 12))
    spokes = torch.tensor([[0, 0, 6, 6], [12, 13, 14, 15]])  # two hubs, on opposite sides of a ring
    links = torch.cat((ring, spokes), 1)
    both = torch.cat((links, links.flip(0)), 1)
    both = both[:, torch.argsort(both[1] * 16 + both[0])]
    assert sorted(centers(layout(both, (16,)), 2)[0].tolist()) == [0, 6]
    whole = layout(torch.cat((edges, both + 34), 1), (34, 16))
    found = centers(whole, 2)
    assert sorted(found[1].tolist()) == [34, 40]
    assert found[0].tolist() == centers(layout(edges, (34,)), 2)[0].tolist()
    assert centers(whole, 2) is found
    pair = layout(torch.tensor([[1, 0], [0, 1]]), (2,))
    assert centers(pair, 5)[0].unique().tolist() == [0, 1]


def test_absent_edges_are_no_links_and_keep_their_source_and_their_graph(edges):
    both = layout(torch.cat((edges, edges + 34), 1), (34, 34))
    seen = set()
    for step in range(60):
        words = more_words(torch.arange(68) + 100 * step, 1)[:, 0]
        found = absent_edges(words, both.edges, both)
        assert torch.equal(found[0], both.edges[0])
        assert torch.equal(both.group[found[0]], both.group[found[1]])
        seen |= set(map(tuple, found.T.tolist()))
    links = set(map(tuple, both.edges.T.tolist())) | {(n, n) for n in range(68)}
    assert not seen & links, "neither a link nor a loop"
    # all others, each as likely: of 33 other rows those that the first node has no edge to
    others = {(0, n) for n in range(34)} - links
    assert {pair for pair in seen if pair[0] == 0} == others


def test_absent_edges_of_a_source_are_equally_likely(edges):
    one = layout(edges, (34,))
    count = torch.zeros(34)
    for step in range(400):
        found = absent_edges(more_words(torch.arange(34) + 100 * step, 1)[:, 0], edges, one)
        count += torch.bincount(found[1][found[0] == 33], minlength=34)
    count = count[count > 0]
    assert len(count) == 16
    assert float((count / count.sum() - 1 / 16).abs().max()) < 0.01


def test_whoever_is_linked_to_all_has_no_absent_edge():
    star = torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]])
    found = absent_edges(more_words(torch.arange(3), 1)[:, 0], star, layout(star, (3,)))
    assert found.tolist() == [[1, 2], [2, 1]]


def test_what_is_drawn_has_its_law():
    words = more_words(torch.arange(4000), 8)
    assert abs(float(uniform(words).mean()) - 0.5) < 0.01
    noise = normal(words[:, 0], 16)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    counts = torch.bincount(below(words.flatten(), 7), minlength=7)
    assert len(counts) == 7
    assert float((counts / counts.sum() - 1 / 7).abs().max()) < 0.01


def test_rows_are_permuted_within_their_graph():
    both = layout(torch.zeros(2, 0, dtype=torch.int64), (5, 9))
    found = permute_rows(more_words(torch.arange(14), 1)[:, 0], both)
    assert sorted(found.tolist()) == list(range(14))
    assert torch.equal(both.group[found], both.group)
    assert not torch.equal(found, torch.arange(14))


def test_only_what_is_gone_is_missing():
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    assert missing_edges(edges, edges[:, :2], 3).tolist() == [[1, 2], [2, 1]]
