"""Codes under cosine similarity against vector-quantize-pytorch 1.32."""

import torch
import torch.nn.functional as F
from vector_quantize_pytorch import VectorQuantize

from unlabeled.nn.codebooks import Quantizer, entrance
from unlabeled.nn.spread import usage_perplexity


def test_codes_are_the_nearest_and_pass_the_gradient_on():
    torch.manual_seed(0)
    quantizer = Quantizer(6, 4)
    x = torch.randn(9, 4, requires_grad=True)
    code, ids, loss = quantizer(x)
    codes = F.normalize(quantizer.codebook, dim=1)
    assert torch.equal(ids, (F.normalize(x, dim=1) @ codes.T).argmax(1))
    torch.testing.assert_close(code, codes[ids])
    weight = torch.randn(9, 4)
    (found,) = torch.autograd.grad((code * weight).sum(), x, retain_graph=True)
    (expected,) = torch.autograd.grad((F.normalize(x, dim=1) * weight).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    apart = (F.normalize(x, dim=1) - codes[ids]).square().sum(1).mean()
    torch.testing.assert_close(loss, 1.25 * apart)


def test_codes_and_losses_are_those_of_vector_quantize_pytorch():
    torch.manual_seed(0)
    oracle = VectorQuantize(8, codebook_size=20, use_cosine_sim=True, commitment_weight=0.25, rotation_trick=False)
    quantizer, x = Quantizer(20, 8), torch.randn(50, 8)
    oracle._codebook.embed.copy_(F.normalize(quantizer.codebook.detach(), dim=1)[None])
    first, second = F.normalize(x, dim=1).requires_grad_(), x.clone().requires_grad_()
    expected, expected_ids, expected_loss = oracle(first[None], freeze_codebook=True)
    code, ids, loss = quantizer(second)
    assert torch.equal(ids, expected_ids[0])
    torch.testing.assert_close(code, expected[0])
    # theirs is commitment alone, averaged over features; ours sums them, and draws the codes as well, at weight 1
    torch.testing.assert_close(loss, 8 * (1 + 0.25) / 0.25 * expected_loss.squeeze())
    weight = torch.randn(50, 8)
    (wanted,) = torch.autograd.grad((expected[0] * weight).sum() + 8 * expected_loss.sum(), first)
    assert bool(wanted.abs().sum() > 0)
    (found,) = torch.autograd.grad((code * weight).sum() + loss, second)
    (through,) = torch.autograd.grad(F.normalize(second, dim=1), second, wanted)
    torch.testing.assert_close(found, through, rtol=1e-4, atol=1e-6)


def test_nodes_that_share_a_mean_have_codes_of_their_own():
    torch.manual_seed(0)
    x, quantizer = 1.0 + 1e-3 * torch.randn(200, 16), Quantizer(64, 8)
    enter = entrance(16, 8)
    _, alike, _ = quantizer(enter[0](x))
    _, apart, _ = quantizer(enter(x))
    assert usage_perplexity(alike, 64).item() < 2
    assert usage_perplexity(apart, 64).item() > 30
