"""Correlations over the batch: closed forms, and constant features."""

import pytest
import torch

from unlabeled.nn.whitening import EPS, decorrelation_loss, invariance_loss, standardize, variance_and_covariance


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(24, 10, generator=generator), torch.randn(24, 10, generator=generator)


def test_a_constant_feature_costs_its_whole_hinge():
    variance, covariance = variance_and_covariance(torch.ones(8, 3))
    torch.testing.assert_close(variance, torch.tensor(1.0 - 0.01))  # the deviation is sqrt(eps)
    assert covariance == 0


def test_decorrelation_is_its_closed_form(pair):
    a, b = ((z - z.mean(0)) / z.std(0, correction=0) for z in pair)
    ours = [standardize(z, 0.0) for z in pair]
    torch.testing.assert_close(invariance_loss(*ours), -torch.trace(a.T @ b) / 24, rtol=1e-5, atol=1e-5)
    expected = (torch.eye(10) - a.T @ a / 24).square().sum()
    torch.testing.assert_close(decorrelation_loss(ours[0]), expected, rtol=1e-5, atol=1e-5)


def test_small_features_have_no_scale(pair):
    # rows of a bag of words that sum to 1 leave features with a deviation of 1e-3
    expected = [standardize(z, 0.0) for z in pair]
    for ours, wanted in zip((standardize(1e-4 * z, EPS) for z in pair), expected, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-3)
    assert standardize(torch.ones(4, 2), EPS).isfinite().all()


@pytest.mark.parametrize("samples", [0, 1])
def test_one_sample_has_no_variance(samples):
    with pytest.raises(ValueError, match=f"of at least 2 samples; found {samples}"):
        variance_and_covariance(torch.ones(samples, 3))
