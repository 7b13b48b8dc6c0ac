"""InfoGraph: every node with its own graph, and with every other graph of the batch."""

import math

import pytest
import torch
import torch.nn.functional as F

from unlabeled.objectives.infograph import local_global_loss


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
