"""Images as the encoder read them, ``float32[B, C, S, S]``, by Pillow, numpy and torch alone.

``read(images)`` takes paths, or arrays ``[H, W]`` or ``[H, W, C]``, uint8 or float in [0, 1]. Steps: EXIF orientation;
transparency on white; gray or RGB as ``channels`` says; a large file is reduced by a whole factor (JPEG in the
decoder); the centered square, its side the shorter side / ``enlarge``; resized to ``size`` by the ``filter``, with
antialias; values in [0, 1]; (x - mean) / std. The numbers stand in ``preprocess.json`` beside this file.

    # B images, C channels, H height, W width, S side
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@cache
def settings() -> dict[str, Any]:
    """The numbers of this encoder."""
    found: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return found


def read(images: Sequence[Any]) -> Tensor:
    """``float32[B, C, S, S]`` of paths or arrays."""
    return torch.stack([prepare(pixels(image)) for image in images])


def prepare(image: Tensor) -> Tensor:
    """``[C, H, W]`` in [0, 255] or [0, 1] -> the square that the encoder reads, normalized."""
    side = max(1, round(min(image.shape[1:]) / settings()["enlarge"]))
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    x = image[:, top : top + side, left : left + side]
    scale = 1 / 255 if x.dtype == torch.uint8 else 1.0
    x, size = x.float(), settings()["size"]
    if side != size:
        x = F.interpolate(x[None], (size, size), mode=settings()["filter"], antialias=settings()["antialias"])[0]
    mean, std = (torch.tensor(settings()[name])[:, None, None] for name in ("mean", "std"))
    return (x * scale - mean) / std


def pixels(image: Any) -> Tensor:
    """``[C, H, W]``, uint8 or float in [0, 1], of a path or an array."""
    if not isinstance(image, (str, Path)):
        found = torch.as_tensor(np.asarray(image))
        return found[None] if found.dim() == 2 else found.permute(2, 0, 1)
    file: Any
    with Image.open(image) as file:
        factor = reduction(file)
        if factor > 1 and file.format in ("JPEG", "MPO"):
            file.draft(file.mode, (-(-file.width // factor), -(-file.height // factor)))
        file.load()
        shown = ImageOps.exif_transpose(file)
    deep = shown.mode.startswith("I") or shown.mode == "F"
    shown = unit_gray(shown) if deep else convert(shown)
    if reduction(shown) > 1:
        shown = shown.reduce(reduction(shown))
    x = torch.from_numpy(np.array(shown))
    x = x[None] if x.dim() == 2 else x.permute(2, 0, 1)
    return from_gray(x) if deep else x


def reduction(image: Image.Image) -> int:
    """Whole factor by which a large image is made smaller."""
    least: int = settings()["least"]
    return min(image.size) // least if least else 1


def convert(image: Image.Image) -> Image.Image:
    """An 8-bit image in the encoder's channels, laid on white where it is transparent and alpha is not read."""
    channels = settings()["channels"]
    if image.mode == MODES[channels]:
        return image
    if image.has_transparency_data and channels in (1, 3):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image).convert("RGB")
    if image.mode in ("CMYK", "P", "PA"):
        image = image.convert("RGBA" if channels in (2, 4) and image.mode != "CMYK" else "RGB")
    return image.convert(MODES[channels])


def unit_gray(image: Image.Image) -> Image.Image:
    """A 16-bit or float image with values in [0, 1]."""
    if image.mode == "F":
        return image
    array = np.asarray(image).astype(np.float32)
    return Image.fromarray(np.clip(array / np.float32(settings()["white"]), 0, 1))


def from_gray(gray: Tensor) -> Tensor:
    """``[1, H, W] -> [C, H, W]``: repeated as colors, with alpha 1."""
    channels = settings()["channels"]
    color = gray.expand(1 if channels < 3 else 3, -1, -1)
    return color if channels in (1, 3) else torch.cat((color, torch.ones_like(gray)))
