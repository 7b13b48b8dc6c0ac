"""Views of a few samples as text, the clean text first; what is hidden stands in brackets.

# n samples
"""

from functools import partial
from pathlib import Path
from typing import Any

from unlabeled.contract import View, Views
from unlabeled.errors import UsageError
from unlabeled.report.pictures import preview
from unlabeled_text.batch import TextSpec
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.views.standard import Clean


def preview_views(
    data: Corpus, views: Views, out_png: str | Path, parts: Any = None, *, n: int = 8, seed: int = 0
) -> Path:
    """Write the views of n samples, spread over the data set, as they are in the first epoch of a run with ``seed``.

    Args:
        n: number of samples, at least 1.
        seed: of the run.
    """
    draw = partial(shown, spec=data.spec, ending=Path(out_png).suffix.lower())
    endings = (".png", ".txt", ".md")
    return preview(data, Clean(data.spec), views, out_png, draw, parts, n=n, seed=seed, endings=endings)


def shown(views: list[View], spec: TextSpec, ending: str) -> Any:
    """The views as text, or as a picture of it."""
    text = picture(views, spec)
    return drawn(text) if ending == ".png" else text


def drawn(text: str) -> Any:
    """The text as a picture, black on white."""
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError as error:
        raise UsageError("a .png needs pillow: pip install pillow, or name a .txt file") from error
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    plain = text.encode("latin-1", errors="replace").decode("latin-1")  # what the font of Pillow itself has
    box = pen.multiline_textbbox((8, 8), plain)
    picture = Image.new("RGB", (int(box[2]) + 8, int(box[3]) + 8), "white")
    ImageDraw.Draw(picture).multiline_text((8, 8), plain, fill="black")
    return picture


def picture(made: list[View], spec: TextSpec) -> str:
    """Sample after sample, a line a view, under its role."""
    words, width = spec.words_of_vocabulary(), max(len(view.role) for view in made)
    shown = [lines(view, words) for view in made]
    blocks = []
    for number in range(len(made[0])):
        rows = [f"{view.role:<{width}}  {text[number]}" for view, text in zip(made, shown, strict=True)]
        blocks.append(f"sample {int(made[0].batch.ids[number])}\n" + "\n".join(rows) + "\n")
    return "\n".join(blocks)


def lines(view: View, words: list[str]) -> list[str]:
    """Each sample's tokens with spaces between: ``[hidden]`` in brackets, ``old>new`` where another word is shown."""
    batch: Any = view.batch
    hidden = set() if view.hidden is None else set(view.hidden.index.tolist())
    stand = batch.tokens if view.shown is None else view.shown
    out, begin = [], 0
    for length in batch.lengths:
        cells = []
        for row in range(begin, begin + length):
            own, now = words[int(batch.tokens[row])], words[int(stand[row])]
            cells.append(f"[{own}]" if row in hidden else own if own == now else f"{own}>{now}")
        out.append(" ".join(cells))
        begin += length
    return out
