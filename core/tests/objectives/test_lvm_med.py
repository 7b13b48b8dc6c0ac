"""Graph matching: the solver against all permutations, the gradient through it written out, and what parts are."""

from itertools import permutations

import numpy as np
import pytest
import torch

from unlabeled.contract import Features, Layout
from unlabeled.nn.heads import unit
from unlabeled.objectives.lvm_med import LVMMed, _Match, alike_in_parts, match, nearest, some_rows
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def problem(nodes=5, neighbors=2, seed=0):
    random = np.random.default_rng(seed)
    near, other = (
        np.stack([random.permutation([j for j in range(nodes) if j != i])[:neighbors] for i in range(nodes)])
        for _ in range(2)
    )
    return random.normal(size=(nodes, nodes)), random.normal(size=(nodes, neighbors, nodes, neighbors)), near, other


def score(column, vertex, edge, near, other):
    """The affinity of a matching, term by term."""
    total = sum(vertex[i, column[i]] for i in range(len(column)))
    for i in range(len(column)):
        for k, j in enumerate(near[i]):
            for m, b in enumerate(other[column[i]]):
                total += edge[i, k, column[i], m] * (column[j] == b)
    return total


def best(vertex, edge, near, other):
    return max(permutations(range(len(vertex))), key=lambda column: score(column, vertex, edge, near, other))


@pytest.mark.parametrize("seed", range(5))
def test_without_edges_the_matching_is_the_best_of_all(seed):
    vertex, edge, near, other = problem(seed=seed)
    assert tuple(match(vertex, 0 * edge, near, other).column) == best(vertex, 0 * edge, near, other)


def test_edges_find_what_vertices_alone_do_not():
    gaps = []
    for seed in range(20):
        made = problem(seed=seed)
        vertex, edge, near, other = made
        columns = best(*made), match(*made).column, match(vertex, 0 * edge, near, other).column
        most, found, alone = (score(column, *made) for column in columns)
        assert most + 1e-9 >= found >= alone - 1e-9
        gaps.append((most - found, most - alone))
    assert np.mean([a for a, _ in gaps]) < np.mean([b for _, b in gaps])


def test_a_planted_matching_is_found_by_edges_alone():
    random, nodes = np.random.default_rng(0), 8
    z, order = random.normal(size=(nodes, 6)), random.permutation(nodes)
    first, second = torch.from_numpy(z), torch.from_numpy(z[order])
    near, other = (nearest(torch.nn.functional.normalize(x), 3) for x in (first, second))
    ends = [torch.nn.functional.normalize(x[:, None] - x[n], dim=2) for x, n in ((first, near), (second, other))]
    edge = torch.einsum("ikd,ald->ikal", *ends).numpy()
    found = match((first @ second.T).numpy() * 1e-3, edge, near.numpy(), other.numpy(), iterations=20)
    assert (order[found.column] == np.arange(nodes)).all()


def test_the_gradient_is_the_choice_less_the_moved_choice():
    vertex, edge, near, other = (torch.from_numpy(x) for x in problem())
    vertex, edge = vertex.requires_grad_(), edge.requires_grad_()
    noise, strength, truth = torch.zeros(5, 5), 0.7, torch.eye(5, dtype=torch.float64)
    matched = _Match.apply(vertex, edge, near, other, noise, strength)
    (matched * (1 - truth) + (1 - matched) * truth).sum().backward()
    graphs = near.numpy(), other.numpy()
    chosen = match(vertex.detach().numpy(), edge.detach().numpy(), *graphs)
    moved = match(vertex.detach().numpy() - strength * (1 - 2 * np.eye(5)), edge.detach().numpy(), *graphs)
    assert (matched.detach().numpy().argmax(1) == chosen.column).all()
    assert (chosen.column != moved.column).any()
    expected = (np.eye(5)[chosen.column] - np.eye(5)[moved.column]) / strength
    np.testing.assert_allclose(vertex.grad.numpy(), expected, atol=1e-12)
    difference = (chosen.edges.astype(float) - moved.edges) / strength
    np.testing.assert_allclose(edge.grad.numpy(), difference, atol=1e-12)


def test_parts_are_matched_by_their_most_similar_rows():
    a, b = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    expected = torch.zeros(3, 3)
    for i in range(3):
        for j in range(3):
            for row in a[i]:
                expected[i, j] += max(torch.cosine_similarity(row, other, dim=0) for other in b[j]) / 2
    torch.testing.assert_close(alike_in_parts(a, b), expected)


def test_rows_are_evenly_spaced_and_of_their_sample():
    layout = Layout((4, 1, 3), torch.zeros(8, 1))
    out = Features(torch.arange(8.0)[:, None], layout, torch.zeros(3, 1))
    assert some_rows(out, 2)[:, :, 0].tolist() == [[1.0, 3.0], [4.0, 4.0], [5.0, 7.0]]


def test_the_loss_is_the_share_of_samples_that_whole_and_parts_match_wrongly(monkeypatch):
    seen = []
    monkeypatch.setattr("unlabeled.objectives.lvm_med.match", lambda *asked: seen.append(asked) or match(*asked))
    torch.manual_seed(0)
    encoder = ToyEncoder()
    settings = {"projector": (12, 6), "neighbors": 2, "whole": 0.7, "rows": 4, "noise": 0.0}
    objective = LVMMed(encoder, **settings)
    views = toy_views(toy_batch(range(7)), encoder=encoder, noise=1.5)
    found = objective(encoder, views)
    outs = [encoder(view) for view in views]
    z = [objective.projector(out.pooled) for out in outs]
    near = [nearest(unit(x.detach()), 2) for x in z]
    mixed = [objective.own(x) + objective.around(x[n].mean(1)) for x, n in zip(z, near)]
    nodes = [unit((x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()) for x in mixed]
    whole = 0.7 * nodes[0] @ nodes[1].T + 0.3 * alike_in_parts(*(some_rows(out, 4) for out in outs))
    ends = [unit((x[:, None] - x[n]).flatten(0, 1)).view(7, 2, 6) for x, n in zip(nodes, near)]
    edge = torch.einsum("ikd,ald->ikal", *ends)
    column = match(*(x.detach().double().numpy() for x in (whole, edge)), *(n.numpy() for n in near)).column
    for given, wanted in zip(seen[0][:2], (whole, edge)):
        np.testing.assert_allclose(given, wanted.detach().numpy(), rtol=1e-3, atol=1e-5)
    wrong = float((column != np.arange(7)).mean())
    assert 0 < wrong < 1
    assert found.total.item() == pytest.approx(wrong)
    assert found.parts["matched"].item() == pytest.approx(1 - wrong)


def test_noise_has_its_scale_and_changes_with_the_step():
    objective = LVMMed(ToyEncoder(), projector=(12, 6), noise=0.5)
    first = objective._noise(torch.arange(200))
    assert first.std().item() == pytest.approx(0.5 * np.pi / 6**0.5, rel=0.05)
    assert torch.equal(objective._noise(torch.arange(200)), first)
    objective.clock.step.fill_(1)
    assert not torch.equal(objective._noise(torch.arange(200)), first)
