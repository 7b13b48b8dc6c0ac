"""GRACE: its loss is NT-Xent over the nodes of both views, as pytorch-metric-learning has it."""

import torch
from pytorch_metric_learning.losses import NTXentLoss

from unlabeled.objectives.grace import GRACE
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_equals_pytorch_metric_learning_through_encoder_and_projector():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    views = toy_views(toy_batch(range(12)))
    for chunk in (0, 5):
        objective = GRACE(encoder, hidden=16, dim=8, temperature=0.4, chunk=chunk)
        z = torch.cat([objective.projector(encoder(view).pooled) for view in views])
        expected = NTXentLoss(temperature=0.4)(z, torch.arange(12).repeat(2))
        torch.testing.assert_close(objective(encoder, views).total, expected, rtol=1e-5, atol=1e-6)
