"""Log-mel spectrograms of the views of a few clips as a PNG, a row for each clip; hidden rows are dark.

# n clips, F frames, M mel bands
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unlabeled.build import Parts
from unlabeled.contract import View, Views
from unlabeled.draw import Draw
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.ops.frontends import spectrogram
from unlabeled_audio.views.standard import Clean

CELL = (192, 96)  # width and height of a spectrogram in pixels
GAP = 4
TITLE = 16
LOW, HIGH = -2.5, 3.0  # standardized log-mel that is black, and white


def preview_views(
    data: Any, views: Views, out_png: str | Path, parts: Parts | None = None, *, n: int = 6, seed: int = 0
) -> Path:
    """Write the spectrograms of the views of n clips, spread over the data set, as in the first epoch with ``seed``.

    Args:
        n: number of clips, at least 1.
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
    made = views(batch, draw) if parts is None else parts.prepare(batch, seed, 0)
    columns = [*Clean(data.spec)(batch, draw), *made]
    out.parent.mkdir(parents=True, exist_ok=True)
    encoder = None if parts is None else parts.encoder
    pictures = [cells(view, data.spec, encoder) for view in columns]
    grid(pictures, [view.role for view in columns]).save(out)
    return out


def cells(view: View, spec: AudioSpec, encoder: Any = None) -> list[Tensor]:
    """``uint8[M, F, 3]`` of each clip, low bands below; what is hidden from the encoder has a tenth of its light."""
    batch: Any = view.batch
    mel = spectrogram(batch.wave, batch.lengths, spec) if batch.mel is None else batch.mel
    light = ((mel - LOW) / (HIGH - LOW)).clamp(0, 1)
    frames = [spec.frames(n) for n in batch.lengths]
    if view.hidden is not None and view.layout is not None and encoder is not None:
        light = light * (1 - 0.9 * hidden_cells(view, spec, encoder, frames))
    gray = light.mul(255).round().to(torch.uint8)
    return [clip.T.flip(0)[:, :, None].expand(-1, -1, 3) for clip in gray.split(frames)]


def hidden_cells(view: View, spec: AudioSpec, encoder: Any, frames: list[int]) -> Tensor:
    """``float[F, M]``: 1 where the row that a cell lies in is hidden."""
    layout, hidden = view.layout, view.hidden
    assert layout is not None
    assert hidden is not None
    bands = encoder.bands
    flags = hidden.flags(layout.total).split(layout.lengths)
    out = []
    for clip, count in zip(flags, frames, strict=True):
        steps = clip.float().unflatten(0, (-1, bands))
        at = (torch.arange(count) * spec.hop_samples // encoder.stride).clamp(max=len(steps) - 1)
        out.append(steps[at].repeat_interleave(spec.mels // bands, 1))
    return torch.cat(out)


def grid(columns: list[list[Tensor]], titles: list[str]) -> Image.Image:
    """Columns of spectrograms, each under its title, all drawn at one size."""
    wide, high = CELL[0] + GAP, CELL[1] + GAP
    picture = Image.new("RGB", (wide * len(columns) + GAP, TITLE + high * len(columns[0]) + GAP), "white")
    pen = ImageDraw.Draw(picture)
    for column, (clips, title) in enumerate(zip(columns, titles, strict=True)):
        pen.text((GAP + column * wide, 2), title, fill="black")
        for row, clip in enumerate(clips):
            cell = Image.fromarray(np.ascontiguousarray(clip)).resize(CELL, Image.Resampling.NEAREST)
            picture.paste(cell, (GAP + column * wide, TITLE + row * high))
    return picture
