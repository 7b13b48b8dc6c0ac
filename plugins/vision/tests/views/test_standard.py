"""Views: addressed draws end to end, parameters that explain the pixels, and settings that are checked."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from unlabeled.draw import Draw
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.views.color import denormalize
from unlabeled_vision.views.standard import BYOL, Clean, MultiCrop, Plain, SimCLR, Weak

ALL = [SimCLR, BYOL, MultiCrop, Weak, Plain, Clean]
BLURRED = (SimCLR, BYOL, MultiCrop)
SPEC = ImageSpec(3, 16)


def _batch(count=12, height=20, width=24, channels=3):
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)
    return ImageBatch(torch.arange(count) * 7 + 1, x)


def _views(kind, batch, spec=SPEC, seed=5, epoch=2, **settings):
    return kind(spec, **settings)(batch, Draw(seed, epoch, batch.ids))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_roles_shapes_and_params(kind, channels):
    views = kind(ImageSpec(channels, 16))
    batch = _batch(channels=channels)
    made = views(batch, Draw(0, 0, batch.ids))
    assert tuple(view.role for view in made) == views.roles
    for view in made:
        side = 8 if view.role == "local" else 16
        assert view.batch.images.shape == (12, channels, side, side)
        assert view.batch.images.dtype == torch.float32
        assert torch.equal(view.batch.ids, batch.ids)
        assert tuple(view.params) == views.params
        assert all(len(value) == 12 for value in view.params.values())
        pixels = denormalize(view.batch.images, views.spec.mean, views.spec.std)
        assert float(pixels.min()) >= -1e-5
        assert float(pixels.max()) <= 1 + 1e-5


@pytest.mark.parametrize("kind", [SimCLR, BYOL, MultiCrop, Weak, Plain])
def test_seed_epoch_and_view_change_the_crop(kind):
    batch = _batch()
    first = _views(kind, batch)
    assert torch.equal(first[0].batch.images, _views(kind, batch)[0].batch.images)
    for other in (_views(kind, batch, seed=6)[0], _views(kind, batch, epoch=3)[0], *first[1:]):
        assert not torch.equal(first[0].params["crop"], other.params["crop"])


@pytest.mark.parametrize("kind", [SimCLR, BYOL])
def test_pixels_equal_torchvision_by_the_same_parameters(kind):
    batch = _batch(24, 40, 30)
    spec = ImageSpec(3, 32)
    # probabilities such that every operation occurs
    settings = {"kernel": 0.3, "blur": 0.5 if kind is SimCLR else (1.0, 0.1)} | (
        {"solarize": 0.3} if kind is SimCLR else {"solarize": (0.3, 0.5)}
    )
    for view in _views(kind, batch, spec, **settings):
        for name in ("flip", "gray", "blur", "solarize"):
            assert view.params[name].any(), name
        for number in range(24):
            params = {name: value[number] for name, value in view.params.items()}
            expected = _by_torchvision(batch.images[number] / 255, params, spec, radius=4)
            torch.testing.assert_close(view.batch.images[number], expected, rtol=0, atol=2e-4)


def _by_torchvision(image, params, spec, radius):
    x = reference.resized_crop(image, *params["crop"].tolist(), [spec.size] * 2, antialias=True)
    x = reference.horizontal_flip(x) if params["flip"] else x
    operations = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
    for number in params["order"].tolist():
        x = getattr(reference, operations[number])(x, float(params["jitter"][number]))
    x = reference.rgb_to_grayscale(x, 3) if params["gray"] else x
    if params["blur"]:
        x = reference.gaussian_blur(x, [2 * radius + 1] * 2, [float(params["blur"])] * 2)
    # a value within rounding of the threshold may fall on either side: none does in this fixture
    x = reference.solarize(x, 0.5) if params["solarize"] else x
    return reference.normalize(x, spec.mean, spec.std)


def test_parameters_have_the_probabilities_and_ranges_asked_for():
    batch = ImageBatch(torch.arange(4000), torch.zeros(4000, 3, 4, 4, dtype=torch.uint8))
    settings = {"brightness": 0.4, "hue": 0.1, "blur": 0.5, "gray": 0.2, "flip": 0.3, "jitter": 0.7, "solarize": 0.1}
    view = _views(SimCLR, batch, ImageSpec(3, 4), **settings)[1]
    jittered = (view.params["jitter"] != torch.tensor([1.0, 1.0, 1.0, 0.0])).any(1)
    rates = {"flip": view.params["flip"], "gray": view.params["gray"], "solarize": view.params["solarize"]}
    rates |= {"blur": view.params["blur"] > 0, "jitter": jittered}
    for name, happened in rates.items():
        p = settings[name]
        assert abs(float(happened.float().mean()) - p) < 4 * (p * (1 - p) / 4000) ** 0.5, name
    factors = view.params["jitter"][jittered]
    for number, (low, high) in enumerate(((0.6, 1.4), (0.2, 1.8), (0.2, 1.8), (-0.1, 0.1))):
        column = factors[:, number]
        assert low <= float(column.min()) < low + 0.02 * (high - low) + 1e-6
        assert high - 0.02 * (high - low) - 1e-6 < float(column.max()) <= high
        assert abs(float(column.mean()) - (low + high) / 2) < 4 * (high - low) / 12**0.5 / len(column) ** 0.5
    counts = torch.unique(view.params["order"], dim=0, return_counts=True)[1]
    assert len(counts) == 24
    expected = 4000 / 24
    assert float(((counts - expected) ** 2 / expected).sum()) < 60  # chi-square of 23, passed once in 30,000


def test_blur_kernel_is_that_of_simclr():
    """A tenth of the image, made odd: 23 pixels at 224, 3 at 32 and below."""
    assert [SimCLR(ImageSpec(3, side)).augments[0].radius for side in (224, 96, 32, 16, 4)] == [11, 4, 1, 1, 1]
    assert SimCLR(ImageSpec(3, 1)).augments[0].radius == 0


def test_strong_jitter_keeps_factors_at_or_above_zero():
    view = _views(SimCLR, _batch(200), brightness=2.0)[0]
    assert float(view.params["jitter"][:, 0].min()) >= 0
    assert float(view.params["jitter"][:, 0].max()) > 2


def test_byol_is_asymmetric():
    first, second = _views(BYOL, _batch(400), ImageSpec(3, 64))
    assert bool((first.params["blur"] > 0).all())
    assert 0.05 < float((second.params["blur"] > 0).float().mean()) < 0.15
    assert not first.params["solarize"].any()
    assert 0.13 < float(second.params["solarize"].float().mean()) < 0.27


def test_multicrop_has_its_locals():
    views = MultiCrop(ImageSpec(3, 224), locals=4)
    assert views.roles == ("global", "global", "local", "local", "local", "local")
    assert views.augments[2].side == 96
    assert MultiCrop(ImageSpec(3, 32)).augments[2].side == 16
    assert MultiCrop(SPEC, local_size=12).augments[2].side == 12
    made = _views(MultiCrop, _batch(height=64, width=64), locals=4)
    share = [v.params["crop"][:, 2:].prod(1).float() / 64**2 for v in made]
    assert all(float(s.min()) >= 0.47 for s in share[:2])
    assert all(0.27 <= float(s.min()) <= float(s.max()) <= 0.63 for s in share[2:])


@pytest.mark.parametrize("kind", [SimCLR, BYOL, MultiCrop, Weak, Plain])
def test_what_is_not_set_is_sized_to_the_image(kind):
    """Papers' values for photos; larger crops, no blur and no mirror where those would make another sample."""
    photo, small, digit = (kind(ImageSpec(1, side, mirror=side > 16)).augments for side in (224, 32, 16))
    assert [views[0].flip for views in (photo, small, digit)] == [0.5, 0.5, 0.0]
    assert [max(view.blur for view in views) > 0 for views in (photo, small, digit)] == [kind in BLURRED, False, False]
    least = {SimCLR: (0.08, 0.2, 0.5), BYOL: (0.08, 0.2, 0.5), MultiCrop: (0.4, 0.4, 0.5)}.get(kind, (0.2, 0.2, 0.5))
    assert tuple(views[0].scale for views in (photo, small, digit)) == tuple((share, 1.0) for share in least)
    if kind is MultiCrop:
        assert [views[2].scale for views in (photo, small, digit)] == [(0.05, 0.4), (0.1, 0.4), (0.3, 0.6)]


@pytest.mark.parametrize("kind", [SimCLR, BYOL, MultiCrop])
def test_what_is_set_holds_at_every_size(kind):
    blur = {SimCLR: 0.3, BYOL: (0.3, 0.3), MultiCrop: (0.3, 0.3, 0.3)}[kind]
    made = kind(ImageSpec(1, 16, mirror=False), flip=0.25, scale=(0.1, 0.9), blur=blur).augments[0]
    assert (made.flip, made.scale, made.blur) == (0.25, (0.1, 0.9), 0.3)


def test_clean_is_the_centered_square():
    batch = _batch(2, 32, 24)
    found = _views(Clean, batch)[0]
    assert found.params["crop"].tolist() == [[4, 0, 24, 24]] * 2
    square = reference.center_crop(batch.images / 255, [24, 24])
    expected = reference.normalize(reference.resize(square, [16, 16], antialias=True), SPEC.mean, SPEC.std)
    torch.testing.assert_close(found.batch.images, expected, rtol=0, atol=1e-4)
    native = _views(Clean, batch[0:1], ImageSpec(3, 24))[0]
    torch.testing.assert_close(native.batch.images, reference.normalize(square[:1], SPEC.mean, SPEC.std))


@pytest.mark.parametrize("kind", ALL)
def test_images_of_many_sizes(kind):
    images = [torch.full((3, h, w), 128, dtype=torch.uint8) for h, w in ((9, 30), (40, 40), (100, 17))]
    batch = ImageBatch(torch.arange(3), images)
    for view in _views(kind, batch):
        assert view.batch.images.shape[:2] == (3, 3)
        assert bool(view.batch.images.isfinite().all())


@pytest.mark.parametrize("kind", ALL)
def test_the_batch_is_left_as_it_was(kind):
    batch = ImageBatch(torch.arange(4), torch.rand(4, 3, 16, 16))
    before = batch.images.clone()
    _views(kind, batch)
    assert torch.equal(batch.images, before)
