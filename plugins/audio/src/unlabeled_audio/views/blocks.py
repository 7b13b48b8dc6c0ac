"""Views made of a block of clips after another, so that no intermediate is ever as large as a batch.

A view takes some ten numbers a sample to make: indices, noise, spectra, frames that overlap. Draws are addressed by
sample, so blocks give what the whole batch would. On an accelerator, where each launch costs, a batch is one block.

    # B clips of a batch
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_audio.batch import AudioBatch, joined

MOST = 1 << 20  # samples of a block: a minute at 16 kHz
Make = Callable[[Any, AudioBatch, Draw], list[View]]


def blocks(lengths: Sequence[int], most: int) -> list[slice]:
    """Runs of clips of at most ``most`` samples together, and of one clip at least."""
    edges, total = [0], 0
    for number, length in enumerate(lengths):
        if total and total + length > most:
            edges.append(number)
            total = 0
        total += length
    return [slice(a, b) for a, b in zip(edges, [*edges[1:], len(lengths)], strict=True)]


def in_blocks(make: Make) -> Make:
    """``make(self, batch, draw)`` of one block of clips after another, end to end."""

    @wraps(make)
    def made(self: Any, batch: AudioBatch, draw: Draw) -> list[View]:
        parts = blocks(batch.lengths, MOST) if batch.wave.device.type == "cpu" else []
        if len(parts) < 2:
            return make(self, batch, draw)
        found = [make(self, batch[part], replace(draw, ids=draw.ids[part])) for part in parts]
        return [_whole(views) for views in zip(*found, strict=True)]

    return made


def _whole(views: Sequence[View]) -> View:
    params = {name: torch.cat([view.params[name] for view in views]) for name in views[0].params}
    return View(joined([view.batch for view in views]), views[0].role, params=params)  # type: ignore[misc]
