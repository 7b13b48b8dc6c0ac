"""Views of a few samples as a picture: a row for each sample, a column for each view, the clean one first.

Domains draw one view; what is alike stands here. Needs Pillow, which plugins that draw ask for.

# n samples
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unlabeled.build import Parts, bring
from unlabeled.contract import Data, View, Views
from unlabeled.data.readable import note
from unlabeled.draw import Draw
from unlabeled.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

GAP = 4
TITLE = 16


def preview(
    data: Data,
    clean: Any,
    views: Views,
    out: str | Path,
    draw: Callable[[list[View]], Any],
    parts: Parts | None = None,
    *,
    n: int,
    seed: int,
    endings: Sequence[str] = (".png",),
) -> Path:
    """Write the views of n samples, spread over the data set, as they are in the first epoch of a run with ``seed``.

    Args:
        data: of the run.
        clean: what features are taken from, drawn first.
        views: what is drawn beside it.
        out: the file, in a folder that need not exist.
        draw: gives an image of the views, or a text.
        parts: of a run whose masks are drawn too.
        n: number of samples, at least 1.
        seed: of the run.
        endings: that ``out`` may have.
    """
    path = Path(out)
    if n < 1:
        raise ValueError(f"n is {n}; it must be at least 1")
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path} must end in {' or '.join(filter(None, (', '.join(endings[:-1]), endings[-1])))}")
    bring(data, views)
    count = min(n, len(data))
    batch = data.__getitems__([number * len(data) // count for number in range(count)])
    note(data, batch)
    if not len(batch):
        raise UsageError(f"{data.describe()}: none of the {count} samples to draw can be read")
    address = Draw(seed, 0, batch.ids)
    made = views(batch, address) if parts is None else parts.prepare(batch, seed, 0)
    found = draw([*clean(batch, address), *made])
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(found, str):
        path.write_text(found, encoding="utf-8")
    else:
        found.save(path)
    return path


def scaled(pixels: Any, size: tuple[int, int]) -> Image:
    """``uint8[height, width]`` or ``[height, width, 3]`` at another width and height, without smoothing."""
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.NEAREST)


def grid(views: Sequence[View], cells: Sequence[Sequence[Image]], size: tuple[int, int], gap: int = GAP) -> Image:
    """A picture of ``cells[view][sample]``, none larger than ``size``: each column under the role of its view."""
    from PIL import Image, ImageDraw

    wide, high = size[0] + gap, size[1] + gap
    picture = Image.new("RGB", (wide * len(cells) + gap, TITLE + high * len(cells[0]) + gap), "white")
    pen = ImageDraw.Draw(picture)
    for column, (view, samples) in enumerate(zip(views, cells, strict=True)):
        pen.text((gap + column * wide, 2), view.role, fill="black")
        for row, cell in enumerate(samples):
            picture.paste(cell, (gap + column * wide, TITLE + row * high))
    return picture
