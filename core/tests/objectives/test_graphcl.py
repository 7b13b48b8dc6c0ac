"""GraphCL: the positive pair stands in no denominator, and views are compared across alone."""

import pytest
import torch

from unlabeled.nn.heads import unit
from unlabeled.objectives.graphcl import GraphCL, graphcl_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


@pytest.fixture
def pair():
    torch.manual_seed(0)
    a = torch.randn(24, 10)
    return a, 0.5 * a + 0.5 * torch.randn(24, 10)


def test_graphcl_leaves_the_positive_out(pair):
    a, b = (unit(z) for z in pair)
    similarity = (a @ b.T / 0.2).exp()
    own = similarity.diagonal()
    rows, columns = (-(own / (similarity.sum(dim) - own)).log().mean() for dim in (1, 0))
    torch.testing.assert_close(graphcl_loss(a, b, 0.2), (rows + columns) / 2, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(graphcl_loss(a, b, 0.2, chunk=5), (rows + columns) / 2, rtol=1e-5, atol=1e-6)


def test_graphs_are_contrasted_through_encoder_and_projector():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = GraphCL(encoder, projector=(12, 6), temperature=0.3)
    views = toy_views(toy_batch(range(8)))
    a, b = (unit(objective.projector(encoder(view).pooled)) for view in views)
    torch.testing.assert_close(objective(encoder, views).total, graphcl_loss(a, b, 0.3))
