"""Codes under cosine similarity against vector-quantize-pytorch 1.32."""

import torch
import torch.nn.functional as F
from vector_quantize_pytorch import VectorQuantize

from unlabeled.nn.codebooks import Quantizer, entrance
from unlabeled.nn.spread import usage_perplexity


def started(quantizer, codebook):
    """With this codebook, of which each code was chosen once."""
    quantizer.book.sums.copy_(codebook)
    quantizer.book.started.fill_(1)
    return quantizer


def test_codes_are_the_nearest_and_pass_the_gradient_on():
    torch.manual_seed(0)
    quantizer = started(Quantizer(6, 4), torch.randn(6, 4))
    x = torch.randn(9, 4, requires_grad=True)
    code, ids, loss = quantizer(x, torch.arange(9))
    codes = quantizer.codebook
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(6))
    assert torch.equal(ids, (F.normalize(x, dim=1) @ codes.T).argmax(1))
    torch.testing.assert_close(code, codes[ids])
    weight = torch.randn(9, 4)
    (found,) = torch.autograd.grad((code * weight).sum(), x, retain_graph=True)
    (expected,) = torch.autograd.grad((F.normalize(x, dim=1) * weight).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss, 0.25 * F.mse_loss(F.normalize(x, dim=1), codes[ids]))


def test_codes_losses_and_the_moving_average_are_those_of_vector_quantize_pytorch():
    torch.manual_seed(0)
    oracle = VectorQuantize(8, codebook_size=20, use_cosine_sim=True, commitment_weight=0.25, rotation_trick=False)
    codebook, x = F.normalize(torch.randn(20, 8), dim=1), torch.randn(50, 8)
    quantizer = started(Quantizer(20, 8), codebook)
    oracle._codebook.embed.copy_(codebook[None])
    first, second = F.normalize(x, dim=1).requires_grad_(), x.clone().requires_grad_()
    expected, expected_ids, expected_loss = oracle(first[None], freeze_codebook=True)
    code, ids, loss = quantizer(second, torch.arange(50))
    assert torch.equal(ids, expected_ids[0])
    torch.testing.assert_close(code, expected[0])
    torch.testing.assert_close(loss, expected_loss.squeeze())
    weight = torch.randn(50, 8)
    (wanted,) = torch.autograd.grad((expected[0] * weight).sum() + expected_loss.sum(), first)
    assert bool(wanted.abs().sum() > 0)
    (found,) = torch.autograd.grad((code * weight).sum() + loss, second)
    (through,) = torch.autograd.grad(F.normalize(second, dim=1), second, wanted)
    torch.testing.assert_close(found, through, rtol=1e-4, atol=1e-6)


def test_the_codebook_moves_to_what_chose_it_and_a_dead_code_starts_anew():
    torch.manual_seed(0)
    east, north, dead = torch.eye(3)
    quantizer = started(Quantizer(3, 3, decay=0.5), torch.stack((east, north, -dead)))
    x = F.normalize(torch.tensor([[1.0, 0.2, 0.0], [1.0, 0.2, 0.0], [0.1, 1.0, 0.0]]), dim=1)
    for step in range(12):
        quantizer(x, torch.tensor([5, 9, 2]) + step)
        quantizer.update()
    codes = quantizer.codebook
    torch.testing.assert_close(codes[0], x[0], rtol=0, atol=0.01)
    assert float((codes[2] @ x.T).max()) > 0.99, "set on one of the vectors"


def test_evaluation_moves_nothing():
    quantizer = started(Quantizer(4, 3), torch.randn(4, 3)).eval()
    before = quantizer.codebook
    quantizer(torch.randn(6, 3), torch.arange(6))
    quantizer.update()
    assert torch.equal(quantizer.codebook, before)


def test_nodes_that_share_a_mean_have_codes_of_their_own():
    torch.manual_seed(0)
    x, quantizer = 1.0 + 1e-3 * torch.randn(200, 16), started(Quantizer(64, 8), torch.randn(64, 8))
    enter = entrance(16, 8)
    _, alike, _ = quantizer(enter[0](x), torch.arange(200))
    _, apart, _ = quantizer(enter(x), torch.arange(200))
    assert usage_perplexity(alike, 64).item() < 2
    assert usage_perplexity(apart, 64).item() > 30
