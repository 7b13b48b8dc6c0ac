"""SimCLR: its loss is NT-Xent of what its projector gives, dense or in chunks."""

import pytest
import torch
from lightly.loss import NTXentLoss

from unlabeled.objectives.simclr import SimCLR
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


@pytest.mark.parametrize("chunk", [0, 5])
def test_equals_lightly_through_encoder_and_projector(chunk):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = SimCLR(encoder, projector=(16, 8), temperature=0.2, chunk=chunk)
    views = toy_views(toy_batch(range(12)))
    loss = objective(encoder, views)
    z1, z2 = (objective.projector(encoder(view).pooled) for view in views)
    torch.testing.assert_close(loss.total, NTXentLoss(temperature=0.2)(z1, z2), rtol=1e-5, atol=0)
    assert loss.parts["nt_xent"] == loss.total


def test_other_views_are_no_business_of_its():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = SimCLR(encoder, projector=(16, 8))
    views = toy_views(toy_batch(range(6)), ("global", "global", "clean"))
    torch.testing.assert_close(objective(encoder, views).total, objective(encoder, views[:2]).total)
