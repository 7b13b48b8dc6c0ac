"""DCL: its loss is lightly's and the paper's, and a pair that agrees is still pulled."""

import math

import pytest
import torch
from lightly.loss import DCLLoss, DCLWLoss

from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.objectives.dcl import DCL, dcl_loss, mises_fisher
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


@pytest.mark.filterwarnings("ignore:To copy construct:UserWarning")  # lightly's, of its own weights
@pytest.mark.parametrize(("sigma", "theirs"), [(0.0, DCLLoss(0.2)), (0.4, DCLWLoss(0.2, sigma=0.4))])
def test_equals_lightly_through_encoder_and_projector(sigma, theirs):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = DCL(encoder, projector=(16, 8), temperature=0.2, sigma=sigma)
    views = toy_views(toy_batch(range(12)))
    loss = objective(encoder, views)
    z1, z2 = (objective.projector(encoder(view).pooled) for view in views)
    torch.testing.assert_close(loss.total, theirs(z1, z2), rtol=1e-5, atol=1e-6)
    assert loss.parts["dcl"] == loss.total


def test_equals_equation_6_term_by_term():
    torch.manual_seed(0)
    z = unit(torch.randn(10, 6)).double().view(2, 5, 6)
    terms = []
    for view in range(2):
        for i in range(5):
            positive = math.exp(z[0, i] @ z[1, i] / 0.3)
            others = sum(math.exp(z[view, i] @ z[k, j] / 0.3) for k in range(2) for j in range(5) if j != i)
            terms.append(-math.log(positive / others))
    assert dcl_loss(z[0], z[1], 0.3).item() == pytest.approx(sum(terms) / 10, rel=1e-9)


def test_a_pair_that_agrees_is_still_pulled():
    """NT-Xent's pull ends there: the coupling of negatives and positive that the paper takes out."""
    a = torch.eye(4, 6)
    pulls = []
    for loss in (dcl_loss, nt_xent):
        b = torch.eye(4, 6).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(a, b, 0.1), b)
        pulls.append(-(gradient * a).sum(1))
    torch.testing.assert_close(pulls[0], torch.full((4,), 1 / (4 * 0.1)))
    assert pulls[1].max() < 0.01


def test_weights_have_mean_1_and_are_less_for_pairs_that_agree():
    weights = mises_fisher(torch.tensor([0.1, 0.5, 0.9]), 0.5)
    assert weights.mean().item() == pytest.approx(1)
    assert weights.diff().max() < 0


def test_weights_of_positives_pass_no_gradient():
    cosine = torch.tensor([0.2, 0.9], requires_grad=True)
    assert not mises_fisher(cosine, 0.5).requires_grad
