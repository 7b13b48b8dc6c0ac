"""I-Con: methods that the paper names are its special cases, by their own formulas."""

import math

import pytest
import torch
import torch.nn.functional as F

from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.objectives.icon import (
    ICon,
    log_clusters,
    log_cosine,
    log_gaussian,
    log_student,
    mixed,
    neighborhood_loss,
    of_views,
)
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views

OWN = torch.arange(10)


def test_cosines_of_two_views_are_simclr():
    torch.manual_seed(0)
    z = unit(torch.randn(10, 4)).double()
    found = neighborhood_loss(of_views(OWN, 5, 2).double(), log_cosine(z, z, OWN, 0.3))
    torch.testing.assert_close(found, nt_xent(z[:5], z[5:], 0.3))


def test_points_and_embeddings_are_sne_with_a_student():
    """Equations 1 and 4 of t-SNE, of conditional neighborhoods, by loops."""
    torch.manual_seed(0)
    x, y = torch.randn(10, 6).double(), torch.randn(10, 2).double()
    total = 0.0
    for i in range(10):
        others = [j for j in range(10) if j != i]
        near = {j: math.exp(-float((x[i] - x[j]).square().sum()) / (2 * 1.3**2)) for j in others}
        heavy = {j: 1 / (1 + float((y[i] - y[j]).square().sum())) for j in others}
        p = {j: near[j] / sum(near.values()) for j in others}
        q = {j: heavy[j] / sum(heavy.values()) for j in others}
        total += sum(p[j] * math.log(p[j] / q[j]) for j in others)
    found = neighborhood_loss(log_gaussian(x, x, OWN, 1.3).exp(), log_student(y, y, OWN))
    assert found.item() == pytest.approx(total / 10, rel=1e-9)


def test_anchors_may_be_some_of_the_points():
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    for whole, part in (
        (log_gaussian(x, x, OWN), log_gaussian(x[6:], x, OWN[6:])),
        (log_student(x, x, OWN), log_student(x[6:], x, OWN[6:])),
        (log_cosine(x, x, OWN, 0.5), log_cosine(x[6:], x, OWN[6:], 0.5)),
        (log_clusters(x.exp(), x.exp(), OWN), log_clusters(x[6:].exp(), x.exp(), OWN[6:])),
    ):
        torch.testing.assert_close(part, whole[6:])


def test_soft_clusters_meet_in_proportion_to_shares_over_sizes():
    c = torch.rand(10, 3, generator=torch.Generator().manual_seed(0)).double()
    for i, q in enumerate(log_clusters(c, c, OWN).exp()):
        met = [sum(float(c[i, k] * c[j, k] / c[:, k].sum()) for k in range(3)) * (i != j) for j in range(10)]
        assert q.tolist() == pytest.approx([m / sum(met) for m in met])


def test_neighbors_are_all_other_views_alike():
    found = of_views(torch.arange(12), 4, 3)
    assert found[1].tolist() == [0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0.5, 0, 0]


def test_hard_clusters_are_uniform_over_their_members():
    hard = F.one_hot(torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 1])).double()
    q = log_clusters(hard, hard, OWN).exp()
    assert q[0].tolist() == pytest.approx([0, 0.5, 0.5, *[0] * 7])
    assert q[5, [6, 7, 8]].tolist() == pytest.approx([1 / 3] * 3)
    right = neighborhood_loss(q, log_clusters(hard, hard, OWN))
    moved = hard.clone()
    moved[0] = moved[3]
    assert right.abs() < 1e-9 < neighborhood_loss(q, log_clusters(moved, moved, OWN)), (
        "as k-means: members stay together"
    )


def test_labels_are_the_supervised_contrast():
    """SupCon (2004.11362), equation 2: the mean over positives of their log share."""
    torch.manual_seed(0)
    z, y = unit(torch.randn(10, 4)).double(), torch.arange(10) % 3
    same = (y[:, None] == y) & ~torch.eye(10, dtype=torch.bool)
    p = same.double() / same.sum(1, keepdim=True)
    logs = log_cosine(z, z, OWN, 0.5)
    supcon = -torch.stack([logs[i, same[i]].mean() for i in range(10)]).mean()
    entropy = -(p * p.clamp(min=1e-300).log()).sum(1).mean()
    torch.testing.assert_close(neighborhood_loss(p, logs), supcon - entropy)


def test_debiasing_mixes_with_uniform_and_never_with_oneself():
    p = mixed(of_views(OWN, 5, 2).double().log(), OWN, 0.3).exp()
    assert p.diagonal().abs().max() == 0
    assert p[0, 5].item() == pytest.approx(0.7 + 0.3 / 9)
    assert p[0, 1].item() == pytest.approx(0.3 / 9)
    torch.testing.assert_close(p.sum(1), torch.ones(10).double())


@pytest.mark.parametrize("learned", ["cosine", "student", "clusters"])
def test_the_objective_is_the_divergence_of_its_neighborhoods(learned):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = ICon(encoder, projector=(12, 6), learned=learned, temperature=0.4, debias=0.2)
    views = toy_views(toy_batch(range(5)))
    loss = objective(encoder, views)
    z = torch.cat([objective.projector(encoder(view).pooled) for view in views])
    x = F.softmax(z, 1) if learned == "clusters" else unit(z)
    make = {"cosine": lambda *a: log_cosine(*a, 0.4), "student": log_student, "clusters": log_clusters}[learned]
    p = mixed(of_views(OWN, 5, 2).log(), OWN, 0.2).exp()
    torch.testing.assert_close(loss.total, neighborhood_loss(p, make(x, x, OWN)))
