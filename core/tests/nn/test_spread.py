"""Deviation and perplexities: their definitions, and what collapse gives."""

import pytest
import torch

from unlabeled.nn.spread import deviation, information_perplexity, singular_values, sphere_deviation, usage_perplexity


def test_deviation_equals_torch_and_has_no_warning_without_rows():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(deviation(x), x.std(0, correction=0).mean())
    assert deviation(x[:0]) == 0


def test_deviation_is_1_on_a_sphere_and_0_at_a_point():
    spread = torch.randn(20000, 64, generator=torch.Generator().manual_seed(0))
    assert sphere_deviation(spread) == pytest.approx(1, abs=0.01)
    assert sphere_deviation(torch.ones(6, 5)) == pytest.approx(0, abs=1e-6)
    assert sphere_deviation(torch.ones(10, 8) + 1e-6 * torch.randn(10, 8)) < 1e-4


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_singular_values_are_torchs(shape):
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(singular_values(x), torch.linalg.svdvals(x).flip(0))


def test_perplexity_counts_what_codes_tell_apart():
    # each sample with the same code, though all prototypes are used
    assert information_perplexity([torch.full((6, 4), 0.25)]) == 1
    torch.testing.assert_close(information_perplexity([torch.eye(4), torch.eye(4)]), torch.tensor(4.0))
    torch.testing.assert_close(information_perplexity([torch.eye(4)[[0, 0, 1, 1]]]), torch.tensor(2.0))


def test_perplexity_counts_units_in_use():
    assert usage_perplexity(torch.tensor([3, 3, 3]), 5) == 1
    torch.testing.assert_close(usage_perplexity(torch.arange(5), 5), torch.tensor(5.0))
    torch.testing.assert_close(usage_perplexity(torch.tensor([[0, 0], [0, 1]]), 5), torch.tensor(1.5))
    assert usage_perplexity(torch.zeros(8, dtype=torch.int64), 4) == 1
    assert usage_perplexity(torch.arange(4), 4) == 4
