"""What the model sees, as text: the views of a few samples, the clean text first; what is hidden stands in brackets.

# n samples
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlabeled.contract import View, Views
from unlabeled.draw import Draw
from unlabeled_text.batch import TextSpec
from unlabeled_text.data import Corpus
from unlabeled_text.views import Clean


def preview_views(data: Corpus, views: Views, out_txt: str | Path, *, n: int = 8, seed: int = 0) -> Path:
    """Write the views of n samples, spread over the data set, as they are in the first epoch of a run with ``seed``.

    Args:
        n: number of samples, at least 1.
        seed: of the run.
    """
    out = Path(out_txt)
    if n < 1:
        raise ValueError(f"n is {n}; it must be at least 1")
    if out.suffix.lower() not in (".txt", ".md"):
        raise ValueError(f"{out} must end in .txt or .md")
    data.bring(getattr(views, "asks", ()))
    count = min(n, len(data))
    batch = data.__getitems__([number * len(data) // count for number in range(count)])
    draw = Draw(seed, 0, batch.ids)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(picture([*Clean(data.spec)(batch, draw), *views(batch, draw)], data.spec), encoding="utf-8")
    return out


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
