"""Objectives that compare views or graphs, against PyG 2.8, pytorch-metric-learning, lightly, and transcriptions."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.nn.heads import unit
from unlabeled_graph.objectives.d_sla import distances, edit_loss, margin_loss
from unlabeled_graph.objectives.graph_clip import clip_loss
from unlabeled_graph.objectives.pareto_gnn import least_norm


@pytest.fixture
def pair():
    torch.manual_seed(0)
    a = torch.randn(24, 10)
    return a, 0.5 * a + 0.5 * torch.randn(24, 10)


def test_d_sla_s_terms(pair):
    apart = torch.tensor([[1.0, 2.0], [2.0, 2.0], [6.0, 6.0]])
    edits = torch.tensor([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
    expected = torch.tensor([((10 - 10) ** 2 + (10 - 20) ** 2 + (10 - 20) ** 2) / 3, (10**2 + 0 + 10**2) / 3])
    torch.testing.assert_close(edit_loss(apart, edits), expected)
    others = torch.tensor([[3.0, 9.0], [1.0, 50.0]])
    rows = [[max(0, 5 + a - o) for a in column for o in row] for column, row in zip(apart.T.tolist(), others.tolist())]
    torch.testing.assert_close(margin_loss(apart, others, 5.0), torch.tensor([sum(r) / len(r) for r in rows]))
    torch.testing.assert_close(distances(*pair), (pair[0] - pair[1]).norm(dim=1))


def test_identical_graphs_have_a_finite_gradient():
    z = torch.ones(3, 4, requires_grad=True)
    distances(z, z.detach()).sum().backward()
    assert bool(z.grad.isfinite().all())


def test_clip_is_cross_entropy_both_ways(pair):
    a, b = (unit(z) for z in pair)
    logits, target = a @ b.T / 0.1, torch.arange(24)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(clip_loss(a, b, 0.1), expected, rtol=1e-5, atol=1e-6)


def test_the_least_norm_of_two_is_the_known_one():
    # Desideri: the foot of the perpendicular from 0 on the segment, or the shorter vector
    for a, b in (([1.0, 0.0], [0.0, 2.0]), ([1.0, 0.0], [3.0, 0.0]), ([1.0, 1.0], [-1.0, 1.0])):
        u, v = torch.tensor(a), torch.tensor(b)
        share = (((v - u) @ v) / (u - v).square().sum()).clamp(0, 1)
        found = least_norm(torch.stack((u, v)) @ torch.stack((u, v)).T)
        torch.testing.assert_close(found, torch.stack((share, 1 - share)), rtol=0, atol=1e-4)


def test_the_least_norm_descends_for_every_task():
    torch.manual_seed(0)
    gradients = torch.randn(5, 40)
    weights = least_norm(gradients @ gradients.T, steps=500)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-5)
    assert bool((weights >= 0).all())
    together = weights @ gradients
    # at the optimum no task's gradient has a product with the direction below its squared length
    assert bool((gradients @ together > together.square().sum() * 0.95).all())
