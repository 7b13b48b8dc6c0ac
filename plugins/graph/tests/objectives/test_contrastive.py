"""Objectives that compare views or graphs, against PyG 2.8, pytorch-metric-learning, lightly, and transcriptions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NegativeCosineSimilarity
from pytorch_metric_learning.losses import NTXentLoss
from torch import nn

from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.objectives.byol import across
from unlabeled.objectives.dgi import dgi_loss, scores
from unlabeled.objectives.graphcl import graphcl_loss
from unlabeled.objectives.infograph import local_global_loss
from unlabeled_graph.objectives.d_sla import distances, edit_loss, margin_loss
from unlabeled_graph.objectives.graph_clip import clip_loss
from unlabeled_graph.objectives.pareto_gnn import least_norm
from unlabeled_graph.ops.pyg import nn as pyg


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    a = torch.randn(24, 10)
    return a, 0.5 * a + 0.5 * torch.randn(24, 10)


def test_dgi_is_pyg_s_up_to_its_factor_of_two(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    true, false = 0.2 * pair[0], 0.2 * pair[1]
    oracle = pyg.DeepGraphInfomax(10, nn.Identity(), lambda z: z, lambda x: x)
    summary = torch.sigmoid(true.mean(0))
    expected = oracle.loss(true, false, summary)
    found = [scores(z, summary[None], oracle.weight, None) for z in (true, false)]
    torch.testing.assert_close(2 * dgi_loss(*found), expected, rtol=1e-5, atol=1e-6)


def test_dgi_has_a_gradient_where_the_discriminator_is_sure_and_wrong() -> None:
    logit = torch.full((4,), -80.0, requires_grad=True)
    loss = dgi_loss(logit, torch.full((4,), 80.0))
    loss.backward()
    assert loss.item() == pytest.approx(80.0)
    assert logit.grad is not None
    assert bool((logit.grad < 0).all())


def test_each_node_meets_its_own_summary(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    local, weight = pair[0], torch.randn(10, 10)
    summary, group = torch.randn(3, 10), torch.arange(24) % 3
    expected = torch.stack([local[t] @ weight @ summary[group[t]] for t in range(24)])
    torch.testing.assert_close(scores(local, summary, weight, group), expected, rtol=1e-5, atol=1e-5)


def test_grace_is_nt_xent_over_both_views(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = (unit(z) for z in pair)
    labels = torch.arange(24).repeat(2)
    expected = NTXentLoss(temperature=0.4)(torch.cat((a, b)), labels)
    for chunk in (0, 7):
        torch.testing.assert_close(nt_xent(a, b, 0.4, chunk=chunk), expected, rtol=1e-5, atol=1e-6)


def test_graphcl_leaves_the_positive_out(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = (unit(z) for z in pair)
    similarity = (a @ b.T / 0.2).exp()
    own = similarity.diagonal()
    rows, columns = (-(own / (similarity.sum(dim) - own)).log().mean() for dim in (1, 0))
    torch.testing.assert_close(graphcl_loss(a, b, 0.2), (rows + columns) / 2, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(graphcl_loss(a, b, 0.2, chunk=5), (rows + columns) / 2, rtol=1e-5, atol=1e-6)


def test_bgrl_is_lightly_s_cosine(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    negative = NegativeCosineSimilarity()
    expected = -(negative(pair[0], pair[1]) + negative(pair[1], pair[0])) / 2
    torch.testing.assert_close(across([pair[0], pair[1]], [pair[0], pair[1]]), expected, rtol=1e-5, atol=1e-6)


def test_infograph_is_the_mean_over_its_pairs(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    local, whole = pair[0], pair[1][:4]
    own = torch.arange(24) % 4
    positive, negative = [], []
    for t in range(24):
        for g in range(4):
            score = local[t] @ whole[g]
            if own[t] == g:
                positive.append(F.softplus(-score) - math.log(2))
            else:
                negative.append(score + F.softplus(-score) - math.log(2))
    found = local_global_loss(local, whole, own)
    torch.testing.assert_close(found[0], torch.stack(positive).mean(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], torch.stack(negative).mean(), rtol=1e-5, atol=1e-5)


def test_d_sla_s_terms(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    apart = torch.tensor([[1.0, 2.0], [2.0, 2.0], [6.0, 6.0]])
    edits = torch.tensor([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
    expected = torch.tensor([((10 - 10) ** 2 + (10 - 20) ** 2 + (10 - 20) ** 2) / 3, (10**2 + 0 + 10**2) / 3])
    torch.testing.assert_close(edit_loss(apart, edits), expected)
    others = torch.tensor([[3.0, 9.0], [1.0, 50.0]])
    rows = [[max(0, 5 + a - o) for a in column for o in row] for column, row in zip(apart.T.tolist(), others.tolist())]
    torch.testing.assert_close(margin_loss(apart, others, 5.0), torch.tensor([sum(r) / len(r) for r in rows]))
    torch.testing.assert_close(distances(*pair), (pair[0] - pair[1]).norm(dim=1))


def test_identical_graphs_have_a_finite_gradient() -> None:
    z = torch.ones(3, 4, requires_grad=True)
    distances(z, z.detach()).sum().backward()
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())


def test_clip_is_cross_entropy_both_ways(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = (unit(z) for z in pair)
    logits, target = a @ b.T / 0.1, torch.arange(24)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(clip_loss(a, b, 0.1), expected, rtol=1e-5, atol=1e-6)


def test_the_least_norm_of_two_is_the_known_one() -> None:
    # Desideri: the foot of the perpendicular from 0 on the segment, or the shorter vector
    for a, b in (([1.0, 0.0], [0.0, 2.0]), ([1.0, 0.0], [3.0, 0.0]), ([1.0, 1.0], [-1.0, 1.0])):
        u, v = torch.tensor(a), torch.tensor(b)
        share = (((v - u) @ v) / (u - v).square().sum()).clamp(0, 1)
        found = least_norm(torch.stack((u, v)) @ torch.stack((u, v)).T)
        torch.testing.assert_close(found, torch.stack((share, 1 - share)), rtol=0, atol=1e-4)


def test_the_least_norm_descends_for_every_task() -> None:
    torch.manual_seed(0)
    gradients: Any = torch.randn(5, 40)
    weights = least_norm(gradients @ gradients.T, steps=500)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-5)
    assert bool((weights >= 0).all())
    together = weights @ gradients
    # at the optimum no task's gradient has a product with the direction below its squared length
    assert bool((gradients @ together > together.square().sum() * 0.95).all())
