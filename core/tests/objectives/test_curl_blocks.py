"""CURL's blocks: definition 2.3's logistic loss of differences of means, term by term."""

import math

import pytest
import torch

from unlabeled.objectives.curl_blocks import CURLBlocks, block_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_equals_the_logistic_loss_of_means_of_blocks():
    torch.manual_seed(0)
    z = torch.randn(4, 5, 3).double()
    terms = []
    for i in range(5):
        own = z[1:, i].mean(0)
        gaps = [float(z[0, i] @ (own - z[1:, j].mean(0))) / 0.7 for j in range(5) if j != i]
        terms.append(math.log(1 + sum(math.exp(-gap) for gap in gaps)))
    assert block_loss(z, 0.7).item() == pytest.approx(sum(terms) / 5, rel=1e-9)


def test_local_views_are_of_the_block():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = CURLBlocks(encoder, projector=(12, 6)).eval()
    views = toy_views(toy_batch(range(6)), ("global", "global", "local"))
    with torch.no_grad():
        assert objective(encoder, views).total != objective(encoder, views[:2]).total
