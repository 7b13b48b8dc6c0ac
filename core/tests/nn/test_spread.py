"""Deviation and perplexities: their definitions, and what collapse gives."""

import torch

from unlabeled.nn.spread import deviation


def test_deviation_equals_torch_and_has_no_warning_without_rows():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(deviation(x), x.std(0, correction=0).mean())
    assert deviation(x[:0]) == 0
