"""W-MSE: whitened as the paper and lightly do, over sub-batches that hold each sample once."""

import torch
from lightly.loss.wmse_loss import Whitening2d

from unlabeled.nn.heads import unit
from unlabeled.objectives.w_mse import WMSE, w_mse_loss, whiten
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_whitened_features_have_the_identity_as_covariance():
    torch.manual_seed(0)
    z = (torch.randn(40, 6) @ torch.randn(6, 6) + 3).double()
    white = whiten(z)
    torch.testing.assert_close(white.mean(0), torch.zeros(6).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(6).double(), atol=1e-9, rtol=0)


def test_whitening_is_lightlys():
    torch.manual_seed(0)
    z = torch.randn(40, 6)
    theirs = Whitening2d(6, eps=0.1, track_running_stats=False)(z)
    torch.testing.assert_close(whiten(z, 0.1), theirs, rtol=1e-4, atol=1e-5)


def test_positives_alone_are_compared_in_sub_batches():
    torch.manual_seed(0)
    z = torch.randn(2, 12, 3).double()
    order = torch.randperm(12)
    terms = []
    for part in (order[:6], order[6:]):  # equation 3
        a, b = (unit(whiten(z[v][part])) for v in range(2))
        terms += [float((a[i] - b[i]).square().sum()) for i in range(6)]
    assert abs(w_mse_loss(z, order, 6, 0.0).item() - sum(terms) / 12) < 1e-9


def test_a_step_averages_over_as_many_divisions_as_it_is_told(monkeypatch):
    torch.manual_seed(0)
    encoder, orders = ToyEncoder(), []

    def noted(z, order, size, shrink):
        orders.append(order.tolist())
        return w_mse_loss(z, order, size, shrink)

    monkeypatch.setattr("unlabeled.objectives.w_mse.w_mse_loss", noted)
    WMSE(encoder, projector=(12, 4), size=8, iterations=3)(encoder, toy_views(toy_batch(range(16))))
    assert len(set(map(tuple, orders))) == 3
    assert all(sorted(order) == list(range(16)) for order in orders)


def test_sub_batches_change_with_the_step_and_collapse_costs_most():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = WMSE(encoder, projector=(12, 4), size=8).eval()
    views = toy_views(toy_batch(range(16)))
    with torch.no_grad():
        first = objective(encoder, views).total
        objective.clock.step.fill_(1)
        assert objective(encoder, views).total != first
    torch.manual_seed(0)
    x, noise = torch.randn(64, 4).double(), torch.randn(64, 4).double()
    order = torch.arange(64)
    agree = w_mse_loss(torch.stack((x, x + 0.05 * noise)), order, 64, 1e-3)
    collapsed = w_mse_loss(torch.stack((1e-3 * x + 1, 1e-3 * noise + 1)), order, 64, 1e-3)
    assert agree < 0.1 < collapsed, "what noise alone tells apart is no agreement, however small"
