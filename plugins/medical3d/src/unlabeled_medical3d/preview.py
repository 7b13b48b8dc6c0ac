"""Middle slices of views as a PNG, a row for each sample, the clean volume first.

A cell holds the axial, coronal and sagittal slice through the middle, seen as radiologists do: the patient's right is
on the left, head and front are up, and a face looks to the left. The gray scale is the view's own.

# n samples, X, Y, Z voxels of a view
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unlabeled.build import bring
from unlabeled.contract import View, Views
from unlabeled.draw import Draw
from unlabeled_medical3d.views.standard import Clean

CELL = 96  # least side of a slice in pixels: smaller ones are enlarged by a whole factor
GAP = 6
TITLE = 16


def preview_views(data: Any, views: Views, out_png: str | Path, *, n: int = 4, seed: int = 0) -> Path:
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
    bring(data, views)
    count = min(n, len(data))
    batch = data.__getitems__([number * len(data) // count for number in range(count)])
    draw = Draw(seed, 0, batch.ids)
    made = [*Clean(data.spec)(batch, draw), *views(batch, draw)]
    out.parent.mkdir(parents=True, exist_ok=True)
    grid([slices(view) for view in made], [view.role for view in made]).save(out)
    return out


def slices(view: View) -> list[list[np.ndarray]]:
    """For each sample its three middle slices, ``uint8`` each, of the first channel."""
    batch: Any = view.batch
    return [planes(volume[0]) for volume in batch.images.detach().float().cpu()]


def planes(volume: Tensor) -> list[np.ndarray]:
    """Axial, coronal and sagittal middle slice of ``[X, Y, Z]`` in RAS, head or front up, right on the left."""
    low, high = volume.min(), volume.max()
    gray = ((volume - low) / (high - low).clamp(min=1e-9) * 255).round().to(torch.uint8)
    x, y, z = (side // 2 for side in volume.shape)
    found = (gray[:, :, z], gray[:, y, :], gray[x, :, :])
    return [np.ascontiguousarray(plane.T.flip(0).flip(1).numpy()) for plane in found]


def grid(columns: list[list[list[np.ndarray]]], titles: list[str]) -> Image.Image:
    """Columns of samples of slices, each column under its title."""
    largest = max(max(plane.shape) for column in columns for sample in column for plane in sample)
    factor = max(1, -(-CELL // largest))
    side = largest * factor
    wide = 3 * side + GAP
    picture = Image.new("RGB", (GAP + (wide + GAP) * len(columns), TITLE + (side + GAP) * len(columns[0])), "white")
    pen = ImageDraw.Draw(picture)
    for column, (samples, title) in enumerate(zip(columns, titles)):
        left = GAP + column * (wide + GAP)
        pen.text((left, 2), title, fill="black")
        for row, sample in enumerate(samples):
            for number, plane in enumerate(sample):
                size = (plane.shape[1] * factor, plane.shape[0] * factor)
                cell = Image.fromarray(plane).resize(size, Image.Resampling.NEAREST)
                picture.paste(cell.convert("RGB"), (left + number * side, TITLE + row * (side + GAP)))
    return picture
