"""Scales by modality, Otsu's threshold against scikit-image's definition, points of the foreground."""

import pytest
import torch

from unlabeled_medical3d.ops.intensity import foreground_points, guess_modality, otsu, scale


@pytest.fixture
def ct():
    x = torch.full((1, 12, 12, 12), -1000.0)
    x[:, 3:9, 3:9, 3:9] = 50.0
    x[:, 5:7, 5:7, 5:7] = 1200.0
    return x


def test_ct_is_a_window(ct):
    x = scale(ct, "ct", (-160.0, 240.0), (0.5, 99.5))
    assert x[0, 0, 0, 0] == -1
    assert x[0, 5, 5, 5] == 1
    assert x[0, 3, 3, 3].item() == pytest.approx((50 + 160) / 400 * 2 - 1)


def test_mr_has_mean_0_and_deviation_1_over_the_foreground_of_each_channel():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 20, 20, 20, generator=generator) * 5
    x[:, 5:15, 5:15, 5:15] += torch.tensor([300.0, 5000.0])[:, None, None, None] * (
        1 + 0.2 * torch.randn(2, 10, 10, 10, generator=generator)
    )
    y = scale(x, "mr", (-160.0, 240.0), (0.5, 99.5))
    inside = y[:, 5:15, 5:15, 5:15].flatten(1)
    torch.testing.assert_close(inside.mean(1), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(inside.std(1), torch.ones(2), atol=0.1, rtol=0)
    assert y[:, 0, 0, 0].max() < -3  # air stays below everything


def test_mr_does_not_depend_on_the_scanners_scale():
    x = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(1)) * 100
    settings = ((-160.0, 240.0), (0.5, 99.5))
    torch.testing.assert_close(scale(x, "mr", *settings), scale(x * 37.0, "mr", *settings), atol=1e-3, rtol=1e-3)


def test_shape_fills_its_range():
    x = torch.zeros(1, 4, 4, 4)
    x[0, 1] = 255
    assert scale(x, "shape", (0, 1), (0, 100)).unique().tolist() == [-1.0, 1.0]


def test_modality_is_guessed(ct):
    assert guess_modality(ct) == "ct"
    assert guess_modality((ct > 0).float() * 255) == "shape"
    assert guess_modality(torch.rand(1, 8, 8, 8)) == "mr"


def test_otsu_has_the_greatest_variance_between_classes():
    x = torch.cat((torch.randn(4000, generator=torch.Generator().manual_seed(0)), torch.randn(1000) * 0.5 + 6))
    best = otsu(x)

    def between(threshold):
        below, above = x[x <= threshold], x[x > threshold]
        return len(below) * len(above) * (below.mean() - above.mean()) ** 2

    assert 2 < best < 5
    assert between(best) >= 0.999 * max(between(t) for t in torch.linspace(-1, 7, 161))
    assert otsu(torch.ones(5)) == 1


def test_points_lie_in_the_foreground_and_spread_over_it(ct):
    points = foreground_points(ct.clamp(-160, 240))
    assert points.shape == (256, 3)
    assert (ct[0][tuple(points.T)] > 0).all()
    assert points[:, 0].unique().tolist() == [3, 4, 5, 6, 7, 8]


def test_points_of_nothing_are_of_the_whole_grid():
    points = foreground_points(torch.zeros(1, 8, 8, 8))
    assert points[:, 0].min() == 0
    assert points[:, 0].max() == 7
