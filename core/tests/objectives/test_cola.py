"""COLA: its similarity is a bilinear form."""

import torch

from unlabeled.objectives.cola import bilinear_scores


def test_scores_are_a_w_b_pair_by_pair():
    torch.manual_seed(0)
    a, b, w = torch.randn(3, 4), torch.randn(5, 4), torch.randn(4, 4)
    expected = torch.stack([torch.stack([x @ w @ y for y in b]) for x in a])
    torch.testing.assert_close(bilinear_scores(a, b, w), expected)
