"""Crops follow torchvision's law and give torchvision's pixels."""

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from unlabeled.draw import Draw
from unlabeled_vision.views.crops import by_products, center_boxes, crop_resize, image_sizes, one_by_one, random_boxes

NONE = torch.zeros(4, dtype=torch.bool)
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def _images(count, height, width, channels=3):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def _boxes(count, height, width, scale=SCALE):
    sizes = torch.tensor([[height, width]]).expand(count, 2)
    return random_boxes(Draw(1, 2, torch.arange(count)), sizes, scale, RATIO)


@pytest.mark.parametrize("form", [by_products, one_by_one])
@pytest.mark.parametrize(("height", "width", "side"), [(32, 32, 32), (50, 37, 24), (8, 8, 16), (90, 120, 64)])
def test_resize_equals_torchvision(form, height, width, side):
    images, boxes = _images(6, height, width), _boxes(6, height, width)
    flip = torch.tensor([True, False] * 3)
    found = form(images, boxes, flip, side)
    for image, box, mirror, view in zip(images, boxes.tolist(), flip.tolist(), found, strict=True):
        expected = reference.resized_crop(image, *box, [side, side], antialias=True)
        expected = reference.horizontal_flip(expected) if mirror else expected
        torch.testing.assert_close(view, expected, rtol=0, atol=1e-5)


def test_bytes_and_floats_agree():
    whole = _images(4, 40, 40).mul(255).round()
    boxes = _boxes(4, 40, 40)
    for form in (by_products, one_by_one):
        found = form(whole.to(torch.uint8), boxes, NONE, 20)
        torch.testing.assert_close(found, form(whole / 255, boxes, NONE, 20), rtol=0, atol=1e-6)


def test_list_equals_tensor():
    images, boxes = _images(4, 70, 80, channels=2), _boxes(4, 70, 80)
    assert torch.equal(crop_resize(list(images), boxes, 16), crop_resize(images, boxes, 16))


def test_images_of_many_sizes():
    images = [_images(1, h, w)[0] for h, w in ((20, 30), (64, 16), (9, 9))]
    boxes = random_boxes(Draw(0, 0, torch.arange(3)), image_sizes(images), SCALE, RATIO)
    found = crop_resize(images, boxes, 12)
    for image, box, view in zip(images, boxes.tolist(), found, strict=True):
        expected = reference.resized_crop(image, *box, [12, 12], antialias=True)
        torch.testing.assert_close(view, expected, rtol=0, atol=1e-5)


def test_whole_image_is_copied():
    images = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4)
    found = crop_resize(images, center_boxes(image_sizes(images)), 4)
    torch.testing.assert_close(found, images / 255)
    floats = images / 255
    crop_resize(floats, center_boxes(image_sizes(floats)), 4).zero_()
    assert floats.any()


def test_center_boxes():
    sizes = torch.tensor([[10, 20], [21, 8], [256, 256]])
    assert center_boxes(sizes).tolist() == [[0, 5, 10, 10], [6, 0, 8, 8], [0, 0, 256, 256]]
    assert center_boxes(sizes, 256 / 224)[2].tolist() == [16, 16, 224, 224]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 40)])
def test_boxes_follow_the_law_of_torchvision(height, width):
    count = 4000
    torch.manual_seed(0)
    blank = torch.empty(3, height, width)
    theirs = torch.tensor([RandomResizedCrop.get_params(blank, SCALE, RATIO) for _ in range(count)])
    ours = _boxes(count, height, width)
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2:] >= 1).all()
    assert (ours[:, :2] + ours[:, 2:] <= torch.tensor([height, width])).all()
    for statistic in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2], lambda b: b[:, 0], lambda b: b[:, 1]):
        # Kolmogorov-Smirnov distance; 1.95 sqrt(2 / n) is passed by chance once in a thousand
        assert _distance(statistic(ours), statistic(theirs)) < 1.95 * (2 / count) ** 0.5


def _distance(a, b):
    a, b = np.sort(a.double().numpy()), np.sort(b.double().numpy())
    points = np.union1d(a, b)
    ranks = (np.searchsorted(x, points, side="right") / len(x) for x in (a, b))
    return float(np.abs(next(ranks) - next(ranks)).max())


def test_impossible_aspect_falls_back_to_the_center():
    found = random_boxes(Draw(0, 0, torch.arange(2)), torch.tensor([[10, 100], [100, 10]]), (1.0, 1.0), RATIO)
    assert found.tolist() == [[0, 43, 10, 13], [43, 0, 13, 10]]
    blank = torch.empty(3, 10, 100)
    assert found[0].tolist() == list(RandomResizedCrop.get_params(blank, [1.0, 1.0], RATIO))


def test_one_pixel_image():
    found = random_boxes(Draw(0, 0, torch.arange(50)), torch.ones(50, 2, dtype=torch.int64), SCALE, RATIO)
    assert (found == torch.tensor([0, 0, 1, 1])).all()
