"""DGI: true nodes against corrupted ones, as PyG 2.8 scores them."""

import warnings

import pytest
import torch
from torch import nn

from unlabeled.nn.discriminator import dgi_loss, scores
from unlabeled.objectives.dgi import DGI
from unlabeled.testing.toys import ToyEncoder, views_for


@pytest.fixture
def pair():
    torch.manual_seed(0)
    a = torch.randn(24, 10)
    return a, 0.5 * a + 0.5 * torch.randn(24, 10)


def test_dgi_is_pyg_s_up_to_its_factor_of_two(pair):
    true, false = 0.2 * pair[0], 0.2 * pair[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        from torch_geometric.nn import DeepGraphInfomax
    oracle = DeepGraphInfomax(10, nn.Identity(), lambda z: z, lambda x: x)
    summary = torch.sigmoid(true.mean(0))
    expected = oracle.loss(true, false, summary)
    found = [scores(z, summary[None], oracle.weight, None) for z in (true, false)]
    torch.testing.assert_close(2 * dgi_loss(*found), expected, rtol=1e-5, atol=1e-6)


def test_dgi_has_a_gradient_where_the_discriminator_is_sure_and_wrong():
    logit = torch.full((4,), -80.0, requires_grad=True)
    loss = dgi_loss(logit, torch.full((4,), 80.0))
    loss.backward()
    assert loss.item() == pytest.approx(80.0)
    assert bool((logit.grad < 0).all())


def test_each_node_meets_its_own_summary(pair):
    local, weight = pair[0], torch.randn(10, 10)
    summary, group = torch.randn(3, 10), torch.arange(24) % 3
    expected = torch.stack([local[t] @ weight @ summary[group[t]] for t in range(24)])
    torch.testing.assert_close(scores(local, summary, weight, group), expected, rtol=1e-5, atol=1e-5)


def test_true_nodes_score_high_and_corrupted_ones_low_against_the_true_graph_s_summary():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = DGI(encoder)
    with torch.no_grad():
        objective.weight.mul_(20)
    views = views_for(encoder, objective.needs, range(3))
    found = objective(encoder, views)
    true, false = (encoder(view).tokens for view in views)
    summary = torch.sigmoid(true.view(3, -1, 8).mean(1)).repeat_interleave(len(true) // 3, 0)
    logits = torch.cat([(x @ objective.weight * summary).sum(1) for x in (true, false)])
    truth = torch.cat((torch.ones(len(true)), torch.zeros(len(false))))
    wanted = nn.functional.binary_cross_entropy_with_logits(logits, truth)
    torch.testing.assert_close(found.total, wanted)
    right = ((logits > 0) == truth.bool()).float().mean()
    assert found.parts["accuracy"] == right != 0.5
