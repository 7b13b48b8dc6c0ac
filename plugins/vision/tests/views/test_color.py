"""Color operations equal torchvision's, sample by sample, and touch no other sample."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from unlabeled_vision.views import color

FACTORS = torch.tensor([0.0, 0.3, 1.0, 1.7, 0.9])
TURNS = torch.tensor([-0.5, -0.13, 0.0, 0.2, 0.5])
ALL = torch.arange(5)


@pytest.fixture
def images():
    x = torch.rand(5, 3, 20, 18, generator=torch.Generator().manual_seed(1))
    x[1, :, :4] = x[1, :1, :4]  # grays have no hue
    x[2, 0] = x[2, 1]  # ties between channels
    x[3, :, 5] = 0
    x[4, :, 5] = 1
    return x


@pytest.mark.parametrize(
    ("ours", "theirs", "strength"),
    [
        (color.brightness_, reference.adjust_brightness, FACTORS),
        (color.contrast_, reference.adjust_contrast, FACTORS),
        (color.saturation_, reference.adjust_saturation, FACTORS),
        (color.hue_, reference.adjust_hue, TURNS),
    ],
)
def test_jitter_operation_equals_torchvision(images, ours, theirs, strength):
    expected = torch.stack([theirs(x, float(s)) for x, s in zip(images, strength, strict=True)])
    torch.testing.assert_close(ours(images, strength), expected, rtol=0, atol=1e-5)


def test_gray_channel_has_brightness_and_contrast(images):
    gray = images[:, :1].clone()
    expected = torch.stack([reference.adjust_contrast(x, float(s)) for x, s in zip(gray, FACTORS, strict=True)])
    torch.testing.assert_close(color.contrast_(gray.clone(), FACTORS), expected, rtol=0, atol=1e-5)
    order = torch.tensor([[3, 1, 2, 0]]).expand(5, 4)
    factors = torch.stack((FACTORS, FACTORS.flip(0), FACTORS, TURNS), 1)
    jittered = color.apply_(gray.clone(), color.jitter(factors, order, 1))
    torch.testing.assert_close(jittered, color.brightness_(color.contrast_(gray, factors[:, 1]), factors[:, 0]))


def test_jitter_follows_each_samples_order(images):
    order = torch.stack([torch.randperm(4, generator=torch.Generator().manual_seed(n)) for n in range(5)])
    assert len(order.unique(dim=0)) > 1
    factors = torch.stack((FACTORS, FACTORS.flip(0), FACTORS, TURNS), 1)
    theirs = (reference.adjust_brightness, reference.adjust_contrast, reference.adjust_saturation, reference.adjust_hue)
    expected = []
    for x, sequence, strengths in zip(images, order.tolist(), factors.tolist(), strict=True):
        for number in sequence:
            x = theirs[number](x, strengths[number])
        expected.append(x)
    torch.testing.assert_close(
        color.apply_(images, color.jitter(factors, order, 3)), torch.stack(expected), rtol=0, atol=1e-5
    )


def test_neutral_jitter_changes_nothing(images):
    factors = torch.tensor(color.NEUTRAL).expand(5, 4)
    assert torch.equal(color.apply_(images.clone(), color.jitter(factors, torch.arange(4).expand(5, 4), 3)), images)


def test_gray_and_solarize_touch_their_rows_alone(images):
    rows = torch.tensor([0, 3])
    others = torch.tensor([1, 2, 4])
    gray = color.apply_(images.clone(), color.grayscale(rows))
    torch.testing.assert_close(gray[rows], reference.rgb_to_grayscale(images[rows], 3), rtol=0, atol=1e-6)
    assert torch.equal(gray[others], images[others])
    solar = color.apply_(images.clone(), color.solarize(rows))
    torch.testing.assert_close(solar[rows], reference.solarize(images[rows], 0.5), rtol=0, atol=0)
    assert torch.equal(solar[others], images[others])


@pytest.mark.parametrize("radius", [1, 4, 9])
def test_blur_equals_torchvision(images, radius):
    sigma = torch.tensor([0.1, 0.5, 2.0, 0.0, 1.1])
    rows = sigma.nonzero()[:, 0]
    found = color.apply_(images.clone(), color.blur(rows, sigma, radius, images[0].numel()))
    for number in rows.tolist():
        expected = reference.gaussian_blur(images[number], [2 * radius + 1] * 2, [float(sigma[number])] * 2)
        torch.testing.assert_close(found[number], expected, rtol=0, atol=1e-5)
    assert torch.equal(found[3], images[3])


def test_blur_in_blocks_is_the_same(images, monkeypatch):
    sigma = torch.tensor([0.4, 2.0, 0.9, 1.3, 0.2])
    whole = color.apply_(images.clone(), color.blur(ALL, sigma, 5, images[0].numel()))
    monkeypatch.setattr(color, "BLOCK", 1)
    torch.testing.assert_close(
        color.apply_(images.clone(), color.blur(ALL, sigma, 5, images[0].numel())), whole, rtol=0, atol=1e-6
    )


def test_no_rows(images):
    none = torch.empty(0, dtype=torch.int64)
    for found in (
        color.apply_(images.clone(), color.grayscale(none)),
        color.apply_(images.clone(), color.blur(none, torch.zeros(5), 3, images[0].numel())),
        color.apply_(images.clone(), color.solarize(none)),
    ):
        assert torch.equal(found, images)


def test_normalize_and_back(images):
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    normal = color.normalize_(images.clone(), mean, std)
    torch.testing.assert_close(normal, reference.normalize(images, mean, std))
    torch.testing.assert_close(color.denormalize(normal, mean, std), images)
