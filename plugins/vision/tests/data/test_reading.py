"""Decoding: every format, mode and depth that is promised, and a reason for whatever fails."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unlabeled.data.readable import SampleError
from unlabeled_vision.data.reading import decode, read_header

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
GRAY = RGB[..., 0]


def _encode(image, form="PNG", **settings):
    out = io.BytesIO()
    image.save(out, form, **settings)
    return out.getvalue()


def _header(data):
    return read_header(io.BytesIO(data))


@pytest.mark.parametrize(
    ("form", "settings"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {})]
)
@pytest.mark.parametrize("array", [RGB, GRAY], ids=["rgb", "gray"])
def test_formats(form, settings, array):
    image = Image.fromarray(array)
    data = _encode(image, form, **settings)
    own = 3 if array.ndim == 3 else 1
    header = _header(data)
    assert (header.width, header.height, header.deep) == (9, 12, False)
    assert header.gray == (own == 1 and form != "WEBP")  # WebP has no gray
    found = decode(data, own)
    assert found.dtype == torch.uint8
    assert found.shape == (own, 12, 9)
    if form != "JPEG":
        assert np.array_equal(found.squeeze(0).numpy() if own == 1 else found.permute(1, 2, 0).numpy(), array)
    assert decode(data, 3).shape == (3, 12, 9)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_gray_is_scaled_by_its_white(form):
    values = np.array([[0, 1, 4095], [256, 40000, 65535]], dtype=np.uint16)
    data = _encode(Image.fromarray(values), form)
    header = _header(data)
    assert header.deep
    assert header.gray
    found = decode(data, 1)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0], values / 65535, rtol=1e-6)
    np.testing.assert_allclose(decode(data, 1, white=4095)[0], np.clip(values / 4095, 0, 1), rtol=1e-6)
    assert torch.equal(decode(data, 3), found.expand(3, -1, -1))
    assert torch.equal(decode(data, 2)[1], torch.ones(2, 3))


def test_float_tiff_lies_in_the_unit_interval():
    values = np.array([[0.0, 0.25, 1.0]], dtype=np.float32)
    assert torch.equal(decode(_encode(Image.fromarray(values), "TIFF"), 1)[0], torch.tensor(values))
    with pytest.raises(SampleError, match=r"float values from 0 to 2; they must lie in \[0, 1\]"):
        decode(_encode(Image.fromarray(values * 2), "TIFF"), 1)
    with pytest.raises(SampleError, match="nan"):
        decode(_encode(Image.fromarray(values * np.float32("nan")), "TIFF"), 1)


def test_transparency_is_laid_on_white_or_kept():
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = 0, 255, 128
    data = _encode(Image.fromarray(rgba))
    white = decode(data, 3)[:, 0]
    assert white[:, 0].tolist() == [255] * 3
    assert white[:, 1].tolist() == [0] * 3
    assert abs(int(white[0, 2]) - 127) <= 1
    assert decode(data, 1)[0, 0, 0] == 255
    assert torch.equal(decode(data, 4), torch.from_numpy(rgba).permute(2, 0, 1))


def test_gray_with_alpha():
    pair = np.array([[[10, 255], [10, 0]]], dtype=np.uint8)
    data = _encode(Image.frombytes("LA", (2, 1), pair.tobytes()))
    assert _header(data).gray
    assert decode(data, 2)[:, 0].tolist() == [[10, 10], [255, 0]]
    assert decode(data, 1)[0, 0].tolist() == [10, 255]


def test_palette_is_looked_up():
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    image = image.convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    assert not _header(_encode(image)).gray
    assert decode(_encode(image), 3)[:, 0].T.tolist() == [[255, 0, 0], [0, 0, 255]]
    clear = _encode(image, transparency=1)
    assert decode(clear, 3)[:, 0].T.tolist() == [[255, 0, 0], [255, 255, 255]]


def test_bilevel_and_cmyk():
    bits = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert decode(_encode(bits), 1)[0, 0].tolist() == [0, 255]
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = decode(_encode(cmyk, "JPEG", quality=95), 3)[:, 4, 4].tolist()
    assert red[0] > 240
    assert max(red[1:]) < 15


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encode(Image.fromarray(RGB), exif=exif)
    upright = np.rot90(RGB, 2 if orientation == 3 else -1)
    header = _header(data)
    assert (header.height, header.width) == upright.shape[:2]
    assert np.array_equal(decode(data, 3).permute(1, 2, 0).numpy(), upright)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_large_images_are_reduced_but_not_below_least(form):
    ramp = np.linspace(0, 255, 200 * 330).reshape(200, 330).astype(np.uint8)
    data = _encode(Image.fromarray(ramp), form)
    full = decode(data, 1).float()
    for least, side in ((0, 200), (101, 200), (100, 100), (45, 50)):
        found = decode(data, 1, least=least)
        assert min(found.shape[1:]) == side
        again = torch.nn.functional.interpolate(full[None], found.shape[1:], mode="bilinear", antialias=True)[0]
        assert float((found - again).abs().max()) < 4
    deep = _encode(Image.fromarray(ramp.astype(np.uint16) * 257))
    assert decode(deep, 1, least=50).shape == (1, 50, 83)


def test_damage_has_a_reason():
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for form in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        data = _encode(noise, form)
        with pytest.raises(SampleError, match=r"\w"):
            decode(data[: len(data) // 2], 3)
    for junk in (b"hello, this is text", b"\x89PNG\r\n\x1a\n", b""):
        with pytest.raises(SampleError, match="no image, or a damaged one"):
            _header(junk)
    with pytest.raises(SampleError, match="no image"):
        decode(_encode(noise, "PCX"), 3)


def test_decompression_bombs_are_refused(monkeypatch):
    data = _encode(Image.new("L", (30, 30)))
    for most in (899, 300):  # Pillow alone would only warn of the first
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        for look in (_header, lambda d: decode(d, 1)):
            with pytest.raises(SampleError, match="decompression bomb"):
                look(data)
