"""A grid of views as a PNG, a row for each sample, the clean image first.

# n samples, C channels, S side of a view in pixels
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from unlabeled.contract import View, Views
from unlabeled.report.pictures import grid, preview, scaled
from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.views.color import denormalize
from unlabeled_vision.views.standard import Clean

CELL = 96  # least side of a cell in pixels: smaller views are enlarged by a whole factor


def preview_views(data: Any, views: Views, out_png: str | Path, *, n: int = 8, seed: int = 0) -> Path:
    """Write the views of n samples, spread over the data set, as they are in the first epoch of a run with ``seed``.

    Args:
        n: number of samples, at least 1.
        seed: of the run.
    """
    return preview(data, Clean(data.spec), views, out_png, partial(picture, spec=data.spec), n=n, seed=seed)


def picture(views: list[View], spec: ImageSpec) -> Image:
    """Columns of images, each enlarged to what the largest takes."""
    columns = [pixels(view, spec) for view in views]
    largest = max(CELL, *(x.shape[1] for x in columns))
    cells = [[scaled(image, (largest // len(image) * len(image),) * 2) for image in x] for x in columns]
    return grid(views, cells, (largest, largest))


def pixels(view: View, spec: ImageSpec) -> Tensor:
    """``uint8[n, S, S, 3]`` of a view: its normalization undone, gray repeated, alpha left out."""
    batch: Any = view.batch
    x = denormalize(batch.images.detach().float().cpu(), spec.mean, spec.std)
    x = x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1)
    return x.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
