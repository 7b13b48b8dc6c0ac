"""GraphMAE: the scaled cosine error of hidden nodes."""

import torch
import torch.nn.functional as F

from unlabeled.nn.cosine import scaled_cosine


def test_the_scaled_cosine_is_the_papers():
    torch.manual_seed(0)
    a, b = torch.randn(2, 7, 5)
    expected = (1 - F.cosine_similarity(a, b)).pow(3).mean()
    torch.testing.assert_close(scaled_cosine(a, b, 3.0).mean(), expected, rtol=1e-5, atol=1e-6)


def test_the_scaled_cosine_has_a_finite_gradient_where_it_is_met():
    x = torch.ones(2, 3, requires_grad=True)
    scaled_cosine(x, torch.tensor([[1.0, 1, 1], [0, 0, 0]]), 1.5).sum().backward()
    assert bool(x.grad.isfinite().all())
