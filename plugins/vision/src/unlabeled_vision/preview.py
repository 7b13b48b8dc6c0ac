"""A grid of views as a PNG, a row for each sample, the clean image first.

# n samples, C channels, S side of a view in pixels
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unlabeled.contract import View, Views
from unlabeled.draw import Draw
from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.data.digits import Digits
from unlabeled_vision.data.images import Images
from unlabeled_vision.views.color import denormalize
from unlabeled_vision.views.standard import Clean

CELL = 96  # least side of a cell in pixels: smaller views are enlarged by a whole factor
GAP = 4
TITLE = 16


def preview_views(data: Images | Digits, views: Views, out_png: str | Path, *, n: int = 8, seed: int = 0) -> Path:
    """Write the views of n samples, spread over the data set, as they are in the first epoch of a run with ``seed``.

    Args:
        n: number of samples, at least 1.
        seed: of the run.
    """
    out = Path(out_png)
    if n < 1:
        raise ValueError(f"n is {n}; it must be at least 1")
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out} must end in .png")
    count = min(n, len(data))
    batch = data.__getitems__([number * len(data) // count for number in range(count)])
    draw = Draw(seed, 0, batch.ids)
    made = [*Clean(data.spec)(batch, draw), *views(batch, draw)]
    out.parent.mkdir(parents=True, exist_ok=True)
    grid([pixels(view, data.spec) for view in made], [view.role for view in made]).save(out)
    return out


def pixels(view: View, spec: ImageSpec) -> Tensor:
    """``uint8[n, S, S, 3]`` of a view: its normalization undone, gray repeated, alpha left out."""
    batch: Any = view.batch
    x = denormalize(batch.images.detach().float().cpu(), spec.mean, spec.std)
    x = x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1)
    return x.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def grid(columns: list[Tensor], titles: list[str]) -> Image.Image:
    """Columns of images ``uint8[n, S, S, 3]``, each under its title."""
    largest = max(max(x.shape[1] for x in columns), CELL)
    step = largest + GAP
    picture = Image.new("RGB", (step * len(columns) + GAP, TITLE + step * len(columns[0]) + GAP), "white")
    pen = ImageDraw.Draw(picture)
    for column, (images, title) in enumerate(zip(columns, titles)):
        pen.text((GAP + column * step, 2), title, fill="black")
        factor = max(1, largest // images.shape[1])
        for row, image in enumerate(images):
            cell = Image.fromarray(np.ascontiguousarray(image)).resize(
                (images.shape[1] * factor,) * 2, Image.Resampling.NEAREST
            )
            picture.paste(cell, (GAP + column * step, TITLE + row * step))
    return picture
