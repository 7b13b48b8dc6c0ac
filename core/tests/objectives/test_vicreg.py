"""VICReg against lightly 1.6.0, pytorch-metric-learning and the golden value."""

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import VICRegLoss
from pytorch_metric_learning.losses import VICRegLoss as MetricLearningVICReg

from unlabeled.nn.whitening import variance_and_covariance
from unlabeled.objectives.vicreg import VICReg
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_equals_peers():
    torch.manual_seed(0)
    z1, z2 = torch.randn(64, 32), torch.randn(64, 32)
    z2 = 0.5 * z1 + 0.5 * z2
    (v1, c1), (v2, c2) = variance_and_covariance(z1), variance_and_covariance(z2)
    total = 25 * F.mse_loss(z1, z2) + 25 * (v1 + v2) / 2 + c1 + c2
    assert total.item() == pytest.approx(16.874014, rel=2e-6)
    lightly = VICRegLoss(lambda_param=25.0, mu_param=25.0, nu_param=1.0, eps=1e-4)(z1, z2)
    metric = MetricLearningVICReg(eps=1e-4)(z1, ref_emb=z2)
    for peer in (lightly, metric):
        torch.testing.assert_close(total, peer, rtol=1e-5, atol=0)


def test_class_equals_lightly():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = VICReg(encoder, projector=(16, 8), invariance=3.0, variance=5.0, covariance=2.0)
    views = toy_views(toy_batch(range(10)))
    loss = objective(encoder, views)
    z1, z2 = (objective.projector(encoder(view).pooled) for view in views)
    peer = VICRegLoss(lambda_param=3.0, mu_param=5.0, nu_param=2.0, eps=1e-4)(z1, z2)
    torch.testing.assert_close(loss.total, peer, rtol=1e-5, atol=0)
    parts = loss.parts
    weighted = 3 * parts["invariance"] + 5 * parts["variance"] + 2 * parts["covariance"]
    torch.testing.assert_close(weighted, loss.total.detach())
