"""Product quantization by Gumbel softmax: noise, choices, gradients, temperature. Audio compares with transformers."""

import math

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled.nn.codebooks import GumbelProduct, gumbel_noise


def test_gumbel_noise_is_gumbel_and_follows_the_frame():
    draw = Draw(0, 0, torch.tensor([5, 9]))
    sample, place = torch.tensor([0] * 500 + [1] * 500), torch.arange(500).repeat(2)
    noise = gumbel_noise(draw, sample, place, 40)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.std().item() == pytest.approx(math.pi / math.sqrt(6), abs=0.02)
    alone = gumbel_noise(Draw(0, 0, torch.tensor([9])), torch.zeros(3, dtype=torch.int64), torch.tensor([4, 0, 7]), 40)
    assert torch.equal(alone, noise[[504, 500, 507]])


def test_noise_decides_by_softmax_and_the_gradient_is_the_soft_one():
    torch.manual_seed(0)
    quantizer = GumbelProduct(3, width=4, groups=1, entries=4)
    x = torch.randn(1, 3).expand(20000, 3)
    noise = gumbel_noise(Draw(0, 0, torch.tensor([0])), torch.zeros(20000, dtype=torch.int64), torch.arange(20000), 4)
    _, codes, p = quantizer(x, noise)
    share = torch.bincount(codes[:, 0], minlength=4) / 20000
    torch.testing.assert_close(share, p[0, 0].detach(), atol=0.015, rtol=0)
    out, _, _ = quantizer(x[:5], noise[:5])
    assert torch.autograd.grad(out.sum(), quantizer.score.weight)[0].abs().sum() > 0


def test_temperature_falls_to_its_floor():
    quantizer = GumbelProduct(3, width=4, groups=1, entries=4)
    found = []
    for step in (0, 1, 100):
        quantizer.anneal(step, 2.0, 0.5, 0.9)
        found.append(quantizer.temperature.item())
    assert found == pytest.approx([2.0, 1.8, 0.5])
