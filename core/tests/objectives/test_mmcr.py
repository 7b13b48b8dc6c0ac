"""MMCR: lightly's loss of the same views."""

import pytest
import torch
from lightly.loss import MMCRLoss

from unlabeled.nn.heads import unit
from unlabeled.objectives.mmcr import MMCR, mmcr_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


@pytest.mark.parametrize("within", [0.0, 0.3])
def test_equals_lightly_through_encoder_and_projector(within):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = MMCR(encoder, projector=(12, 6), within=within)
    views = toy_views(toy_batch(range(9)), ("global",) * 4)
    z = torch.stack([unit(objective.projector(encoder(view).pooled)) for view in views], 1)
    wanted = MMCRLoss(within)(z[:, :2], z[:, 2:])  # its centroids are over the views of both networks
    torch.testing.assert_close(objective(encoder, views).total, wanted, rtol=1e-5, atol=1e-5)


def test_centroids_that_span_all_directions_are_best():
    spread, collapsed = torch.eye(4).expand(2, 4, 4), torch.eye(4)[:1].expand(2, 4, 4)
    assert mmcr_loss(spread, 0.0).item() == pytest.approx(-4)
    assert mmcr_loss(collapsed, 0.0).item() == pytest.approx(-2)
    apart = torch.stack((torch.eye(4), torch.eye(4).roll(1, 0)))
    assert mmcr_loss(apart, 0.0) > mmcr_loss(spread, 0.0), "views that disagree have shorter centroids"
