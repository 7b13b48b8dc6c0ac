"""InfoGraph: every node with its own graph, and with every other graph of the batch."""

import math

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Layout
from unlabeled.objectives.infograph import InfoGraph, local_global_loss, neighborhood
from unlabeled.testing.toys import ToyEncoder, views_for


@pytest.fixture
def pair():
    torch.manual_seed(0)
    a = torch.randn(24, 10)
    return a, 0.5 * a + 0.5 * torch.randn(24, 10)


def test_infograph_is_the_mean_over_its_pairs(pair):
    local, whole = pair[0], pair[1][:4]
    own = torch.arange(24) % 4
    positive, negative = [], []
    for t in range(24):
        for g in range(4):
            score = local[t] @ whole[g]
            if own[t] == g:
                positive.append(F.softplus(-score) - math.log(2))
            else:
                negative.append(score + F.softplus(-score) - math.log(2))
    found = local_global_loss(local, whole, own)
    torch.testing.assert_close(found[0], torch.stack(positive).mean(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], torch.stack(negative).mean(), rtol=1e-5, atol=1e-5)


def test_nodes_are_drawn_to_their_own_graph_through_both_heads():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = InfoGraph(encoder, width=6)
    views = views_for(encoder, objective.needs, range(3))
    found = objective(encoder, views)
    out = encoder(views[0])
    local, whole = objective.local_head(out.tokens), objective.global_head(out.pooled)
    positive, negative = local_global_loss(local, whole, out.layout.group)
    torch.testing.assert_close(found.total, positive + negative)
    torch.testing.assert_close(found.parts["negative"], negative.detach())


def test_of_one_graph_a_node_s_whole_is_the_mean_over_itself_and_its_in_neighbors():
    layout = Layout((4,), torch.zeros(4, 1), edges=torch.tensor([[1, 2, 3], [0, 0, 1]]), seeds=torch.tensor([0, 1, 3]))
    found = neighborhood(torch.tensor([[1.0], [2.0], [6.0], [4.0]]), layout)
    torch.testing.assert_close(found, torch.tensor([[3.0], [3.0], [4.0]]))
