"""Log-mel spectrograms of the views of a few clips as a PNG, a row for each clip; hidden rows are dark.

# n clips, F frames, M mel bands
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from unlabeled.build import Parts
from unlabeled.contract import View, Views
from unlabeled.report.pictures import grid, preview, scaled
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.ops.frontends import spectrogram
from unlabeled_audio.views.standard import Clean

CELL = (192, 96)  # width and height of a spectrogram in pixels
LOW, HIGH = -2.5, 3.0  # standardized log-mel that is black, and white


def preview_views(
    data: Any, views: Views, out_png: str | Path, parts: Parts | None = None, *, n: int = 6, seed: int = 0
) -> Path:
    """Write the spectrograms of the views of n clips, spread over the data set, as in the first epoch with ``seed``.

    Args:
        n: number of clips, at least 1.
        seed: of the run.
    """
    draw = partial(picture, spec=data.spec, encoder=None if parts is None else parts.encoder)
    return preview(data, Clean(data.spec), views, out_png, draw, parts, n=n, seed=seed)


def picture(views: list[View], spec: AudioSpec, encoder: Any) -> Image:
    """Columns of spectrograms, all drawn at one size."""
    return grid(views, [[scaled(clip, CELL) for clip in cells(view, spec, encoder)] for view in views], CELL)


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
