"""Middle slices of views as a PNG, a row for each sample, the clean volume first.

A cell holds the axial, coronal and sagittal slice through the middle, seen as radiologists do: the patient's right is
on the left, head and front are up, and a face looks to the left. The gray scale is the view's own.

# n samples, X, Y, Z voxels of a view
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unlabeled.contract import View, Views
from unlabeled.report.pictures import grid, preview, scaled
from unlabeled_medical3d.views.standard import Clean

CELL = 96  # least side of a slice in pixels: smaller ones are enlarged by a whole factor
GAP = 6


def preview_views(data: Any, views: Views, out_png: str | Path, *, n: int = 4, seed: int = 0) -> Path:
    """Write the views of n samples, spread over the data set, as they are in the first epoch of a run with ``seed``.

    Args:
        n: number of samples, at least 1.
        seed: of the run.
    """
    return preview(data, Clean(data.spec), views, out_png, picture, n=n, seed=seed)


def picture(views: list[View]) -> Image.Image:
    """Columns of samples, three slices each, all enlarged by one factor."""
    columns = [slices(view) for view in views]
    largest = max(max(plane.shape) for column in columns for sample in column for plane in sample)
    factor = max(1, -(-CELL // largest))
    side = largest * factor
    size = (3 * side + GAP, side)
    return grid(views, [[row(sample, factor, size) for sample in column] for column in columns], size, GAP)


def row(planes: list[np.ndarray], factor: int, size: tuple[int, int]) -> Image.Image:
    """Slices side by side in a cell."""
    cell = Image.new("RGB", size, "white")
    for number, plane in enumerate(planes):
        cell.paste(scaled(plane, (plane.shape[1] * factor, plane.shape[0] * factor)), (number * size[1], 0))
    return cell


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
