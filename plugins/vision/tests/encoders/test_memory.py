"""A block of which backward holds the input alone gives what timm's gives, in value and gradient."""

import pytest
import torch
from timm.models.vision_transformer import Block

from unlabeled.nn import recompute
from unlabeled_vision.encoders.timm import LeanBlock


@pytest.mark.parametrize("least", [0, 1 << 20])
def test_a_lean_block_is_timms(least, monkeypatch):
    monkeypatch.setattr(recompute, "LEAST", least)
    torch.manual_seed(0)
    lean = LeanBlock(16, 2)
    plain = Block(16, 2)
    plain.load_state_dict(lean.state_dict())
    x = torch.randn(600, 9, 16, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    found, expected = lean(x), plain(y)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    for name, parameter in lean.named_parameters():
        torch.testing.assert_close(parameter.grad, plain.get_parameter(name).grad, rtol=1e-4, atol=1e-3)


def test_stochastic_depth_draws_once():
    block = LeanBlock(16, 2, drop_path=0.5).train()
    torch.manual_seed(0)
    first = block(torch.ones(8, 4, 16))
    torch.manual_seed(0)
    assert torch.equal(Block.forward(block, torch.ones(8, 4, 16)), first)
