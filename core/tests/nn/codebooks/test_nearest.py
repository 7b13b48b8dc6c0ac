"""k-means by gradient: the nearest entry of each part, drawn together with it, and a gradient that goes through."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.nn.codebooks import NearestProduct


def test_each_part_becomes_its_nearest_entry_and_both_are_drawn_together():
    torch.manual_seed(0)
    quantizer, x = NearestProduct(5, width=6, groups=2, entries=4, commitment=0.3), torch.randn(7, 5)
    with torch.no_grad():
        quantizer.codebook.mul_(100)
    q, codes, loss = quantizer(x)
    z = quantizer.enter(x)
    for part in range(2):
        own, book = F.layer_norm(z[:, 3 * part : 3 * part + 3], (3,)), quantizer.codebook[part]
        assert torch.equal(codes[:, part], torch.cdist(own, book).argmin(1))
        torch.testing.assert_close(q[:, 3 * part : 3 * part + 3], book[codes[:, part]])
    gap = torch.stack([F.layer_norm(z[:, a : a + 3], (3,)) - q.detach()[:, a : a + 3] for a in (0, 3)], 1)
    torch.testing.assert_close(loss, 1.3 * gap.square().mean((1, 2)))


def test_the_gradient_of_what_is_built_on_codes_goes_to_frames_alone_and_entries_follow_frames():
    torch.manual_seed(0)
    quantizer, x = NearestProduct(5, width=6, groups=2, entries=4, commitment=0.0), torch.randn(7, 5)
    q, _, loss = quantizer(x)
    learned = [quantizer.codebook, quantizer.enter.weight]
    book, weight = torch.autograd.grad(q.square().sum(), learned, allow_unused=True, retain_graph=True)
    assert book is None
    assert weight.abs().max() > 0
    book, weight = torch.autograd.grad(loss.sum(), learned)
    assert book.abs().max() > 0
    assert weight.abs().max() == 0  # without a commitment


def test_a_width_that_does_not_divide_is_named():
    with pytest.raises(ValueError, match="width 5 do not divide into 2 groups"):
        NearestProduct(4, width=5, groups=2, entries=3)
