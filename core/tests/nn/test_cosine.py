"""A row without a direction is no reason for a slope without bounds."""

import torch

from unlabeled.nn.cosine import scaled_cosine


def test_a_row_of_zeros_costs_and_turns_nothing():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    loss = scaled_cosine(x, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), power=2.0)
    torch.testing.assert_close(loss, torch.tensor([1.0, 0.16]))
    loss.sum().backward()
    assert torch.equal(x.grad[0], torch.zeros(2))
    # (1 - c)^2 with c = x1 / |x|: the slope is -2 (1 - c) (1 / |x| - x1 x / |x|^3)
    torch.testing.assert_close(x.grad[1], -2 * 0.4 * torch.tensor([1 / 5 - 9 / 125, -12 / 125]))
