"""One encoded image to a tensor, by Pillow, with every way in which that can fail turned into a reason.

Channels: 1 = gray (luma), 2 = gray and alpha, 3 = RGB, 4 = RGB and alpha. Transparency is laid on white where alpha is
not asked for, palettes are looked up, CMYK is converted, the EXIF orientation is applied. 8-bit images give uint8;
16-bit gray and float gray (TIFF) give float32 in [0, 1]. Pillow reads 16-bit color at 8 bits, and so does this.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from unlabeled.data.readable import SampleError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF", "JXL")
PACKAGES = ("pillow_heif.HeifImagePlugin", "pillow_jxl")  # each teaches Pillow a format when it is imported
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")  # and I;16 in its byte orders
MOST = 90.0  # million pixels; an image that claims more may be a bomb of a few bytes
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it, as it is shown: after its EXIF orientation."""

    width: int
    height: int
    gray: bool
    deep: bool  # more than 8 bits a channel
    pages: int = 1  # of a TIFF, frames of an animation; the first is read


def _is_deep(mode: str) -> bool:
    return mode.startswith("I") or mode == "F"


@cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow and the packages beside it read."""
    Image.init()
    for package in PACKAGES:
        with suppress(ImportError):
            import_module(package)
    return tuple(form for form in FORMATS if form in Image.OPEN)


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings (damaged EXIF, large images) unseen, and its limit of pixels lifted: they are checked here.

    Around whole batches and scans, from one thread: the filters and the limit belong to the process.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _open(file: BinaryIO, most: float = MOST) -> Image.Image:
    """The image, not yet decoded; one of more than ``most`` million pixels is refused as a bomb, 0 = none is."""
    try:
        image = Image.open(file, formats=_formats())
    except Exception as error:
        raise SampleError(_reason(error)) from error
    if most and image.width * image.height > most * 1e6:
        raise SampleError(
            f"{image.width} x {image.height} pixels: refused as a decompression bomb; --data.megapixels sets the limit"
        )
    return image


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image, or a damaged one"
    if isinstance(error, Image.DecompressionBombError):
        return "refused as a decompression bomb"
    return str(error) or type(error).__name__


def read_header(file: BinaryIO, most: float = MOST) -> Header:
    """Size and kind of an encoded image; :class:`SampleError` where its header is damaged, or claims too much."""
    image = _open(file, most)
    width, height = image.size
    if _orientation(image) >= 5:  # these four turn by a quarter
        width, height = height, width
    gray, deep = image.mode in GRAY_MODES or image.mode.startswith("I"), _is_deep(image.mode)
    return Header(width, height, gray, deep, _pages(image))


def _pages(image: Image.Image) -> int:
    """Pages of a TIFF or frames of an animation; a phone's MPO is one image and its previews."""
    try:
        return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    except (OSError, EOFError, ValueError, TypeError, KeyError, SyntaxError, struct.error):  # damaged after the first
        return 1


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except (ValueError, TypeError, SyntaxError, struct.error, OSError, KeyError):
        return 1  # damaged EXIF says nothing, and the pixels are fine


def decode(data: bytes, channels: int, *, least: int = 0, white: float = 65535.0, most: float = MOST) -> Tensor:
    """``[channels, H, W]``: uint8, or float32 in [0, 1] for deep images.

    With ``least`` > 0 an image whose shorter side is at least twice that is made smaller by a whole factor (JPEG: in
    the decoder, by a power of two), and its shorter side stays at ``least`` or more. ``white`` is the value that
    becomes 1 in a 16-bit image.
    """
    image = _open(io.BytesIO(data), most)
    try:
        return _pixels(image, channels, least, white)
    except SampleError:
        raise
    except Exception as error:
        raise SampleError(_reason(error)) from error


def _pixels(image: Image.Image, channels: int, least: int, white: float) -> Tensor:
    factor = min(image.size) // least if least else 1
    if factor > 1 and image.format in ("JPEG", "MPO"):  # MPO: JPEGs of some phones
        image.draft(image.mode, (-(-image.width // factor), -(-image.height // factor)))
    image.load()
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    deep = _is_deep(image.mode)
    image = _unit_gray(image, white) if deep else _convert(image, channels)
    factor = min(image.size) // least if least else 1
    if factor > 1:
        image = image.reduce(factor)
    pixels = torch.from_numpy(np.array(image))  # a copy: Pillow's own buffer is read-only
    pixels = pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1).contiguous()
    return _from_gray(pixels, channels) if deep else pixels


def _convert(image: Image.Image, channels: int) -> Image.Image:
    """An 8-bit image in the mode of ``channels``, laid on white where it is transparent and alpha is not kept."""
    mode = MODES[channels]
    if image.mode == mode:
        return image
    if image.has_transparency_data and channels in (1, 3):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    if image.mode == "CMYK" or image.mode in ("P", "PA"):
        image = image.convert("RGBA" if channels in (2, 4) and image.mode != "CMYK" else "RGB")
    return image.convert(mode)


def _unit_gray(image: Image.Image, white: float) -> Image.Image:
    """A deep image as floats in [0, 1]."""
    array = np.asarray(image).astype(np.float32)
    if image.mode != "F":
        return Image.fromarray(np.clip(array / np.float32(white), 0, 1))
    if not (array.min() >= 0 and array.max() <= 1):  # also where one is NaN
        raise SampleError(f"float values from {array.min():g} to {array.max():g}; they must lie in [0, 1]")
    return image


def _from_gray(gray: Tensor, channels: int) -> Tensor:
    """``[1, H, W] -> [channels, H, W]``: repeated as colors, with alpha 1."""
    color = gray.expand(1 if channels < 3 else 3, -1, -1)
    return color.contiguous() if channels in (1, 3) else torch.cat((color, torch.ones_like(gray)))
