"""Intensity changes: each is what it says, per sample, and the neutral value changes nothing."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unlabeled.draw import Draw
from unlabeled_medical3d.views.augment import NAMES, TERMS, Augment, bias_, bias_field, gamma_, level_, noise_, smooth_

NONE = dict.fromkeys(NAMES, 0.0)


@pytest.fixture
def x():
    return torch.rand(4, 2, 10, 9, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def draw():
    return Draw(1, 0, torch.arange(4))


def test_nothing_is_changed_without_probabilities(x, draw):
    before = x.clone()
    out, params = Augment(**NONE)(x, draw)
    assert torch.equal(out, before)
    assert params["gamma"].tolist() == [1.0] * 4
    assert params["bias"].abs().sum() == 0


@pytest.mark.parametrize("name", NAMES)
def test_each_change_happens_to_its_samples_alone(x, name):
    draw = Draw(1, 0, torch.arange(400))
    params = Augment(**NONE | {name: 0.5}).draw(draw)
    neutral = {"noise": 0, "blur": 0, "bias": 0}.get(name, 1)
    changed = (params[name].reshape(400, -1) != neutral).any(1)
    assert 0.4 < changed.float().mean() < 0.6
    for other in set(NAMES) - {name}:
        same = {"noise": 0, "blur": 0, "bias": 0}.get(other, 1)
        assert (params[other] == same).all()


def test_a_sample_is_changed_alike_in_any_batch(x, draw):
    whole, _ = Augment(**dict.fromkeys(NAMES, 1.0))(x.clone(), draw)
    part, _ = Augment(**dict.fromkeys(NAMES, 1.0))(x[[2, 0]].clone(), Draw(1, 0, torch.tensor([2, 0])))
    torch.testing.assert_close(part, whole[[2, 0]], atol=1e-6, rtol=0)


def test_noise_is_gaussian_of_its_deviation(draw):
    x = torch.zeros(4, 1, 24, 24, 24)
    noise_(x, torch.tensor([0.0, 0.1, 0.5, 0.0]), draw)
    assert (x[[0, 3]] == 0).all()
    torch.testing.assert_close(x[1:3].flatten(1).std(1), torch.tensor([0.1, 0.5]), rtol=0.03, atol=0)
    z = x[2].flatten() / 0.5
    assert abs(float((z**4).mean()) - 3) < 0.3  # its fourth moment, as of a Gaussian


@pytest.mark.parametrize("sigma", [0.5, 1.3])
def test_blur_equals_scipys_and_its_weights_have_sum_one_at_the_edges(x, sigma):
    how = {"sigma": (0, *[sigma] * 3), "mode": "constant", "radius": (0, *[math.ceil(4 * sigma)] * 3)}
    expected = gaussian_filter(x[0].double().numpy(), **how)
    whole = gaussian_filter(np.ones((2, 10, 9, 8)), **how)
    found = smooth_(x.clone(), torch.tensor([sigma, 0, 0, 0]), torch.ones(4))
    torch.testing.assert_close(found[0], torch.from_numpy(expected / whole).float(), atol=1e-5, rtol=0)
    assert torch.equal(found[1:], x[1:])


def test_low_resolution_keeps_constants_and_drops_detail():
    x = torch.rand(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    found = smooth_(x.clone(), torch.zeros(1), torch.tensor([0.5]))
    for axis in (2, 3, 4):
        assert torch.linalg.matrix_rank(found.movedim(axis, 2).flatten(3)[0, 0]) == 6
    torch.testing.assert_close(smooth_(torch.ones_like(x), torch.zeros(1), torch.tensor([0.5])), torch.ones_like(x))


def test_smoothing_acts_along_all_axes(x):
    before = x.clone()
    smooth_(x, torch.tensor([0.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.5, 1.0]))
    assert torch.equal(x[[0, 3]], before[[0, 3]])
    for axis in (2, 3, 4):
        for row in (1, 2):
            assert x[row].diff(dim=axis - 1).abs().mean() < 0.8 * before[row].diff(dim=axis - 1).abs().mean()


def test_brightness_multiplies_and_contrast_keeps_mean_and_range(x):
    before = x.clone()
    level_(x, torch.tensor([1.2, 1.0, 1.0, 1.0]), torch.tensor([1.0, 0.7, 1.5, 1.0]))
    torch.testing.assert_close(x[0], before[0] * 1.2)
    torch.testing.assert_close(x[1].std((1, 2, 3)), 0.7 * before[1].std((1, 2, 3)))
    torch.testing.assert_close(x[1].mean((1, 2, 3)), before[1].mean((1, 2, 3)))
    assert x[2].max() <= before[2].max()
    assert torch.equal(x[3], before[3])


def test_gamma_keeps_the_range(x):
    before = x.clone()
    gamma_(x, torch.tensor([1.0, 0.7, 1.5, 1.0]))
    assert torch.equal(x[0], before[0])
    torch.testing.assert_close(x[1].amax((1, 2, 3)), before[1].amax((1, 2, 3)))
    low, high = before[2, 0].min(), before[2, 0].max()
    torch.testing.assert_close(x[2, 0], ((before[2, 0] - low) / (high - low)) ** 1.5 * (high - low) + low)


def test_the_bias_field_is_its_polynomial():
    coefficients = torch.randn(2, len(TERMS), generator=torch.Generator().manual_seed(0))
    field = bias_field(coefficients, torch.Size((5, 4, 3)))
    axes = [torch.linspace(-1, 1, n) for n in (5, 4, 3)]
    a, b, c = torch.meshgrid(*axes, indexing="ij")
    expected = sum(w[:, None, None, None] * a**i * b**j * c**k for w, (i, j, k) in zip(coefficients.T, TERMS))
    torch.testing.assert_close(field, expected)
    x = torch.rand(2, 1, 5, 4, 3)
    low = x.amin((2, 3, 4), keepdim=True)
    expected = (x - low) * field.exp()[:, None] + low
    torch.testing.assert_close(bias_(x.clone(), coefficients), expected)


@pytest.mark.parametrize("wrong", [{"noise": 1.2}, {"gamma": -0.1}, {"strength": 3.0}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augment(**wrong)
