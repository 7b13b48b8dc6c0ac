"""The picture of views shows their words, what is hidden and what is replaced."""

from pathlib import Path

import numpy as np
from PIL import Image

from unlabeled.build import build
from unlabeled.config.run import resolve
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.preview import preview_views
from unlabeled_text.views.standard import Neighbors, Spans


def test_a_line_a_view_under_its_sample(tmp_path: Path) -> None:
    data = Sentences(documents=6)
    out = preview_views(data, Spans(data.spec), tmp_path / "new" / "views.txt", n=2, seed=3)
    lines = out.read_text().splitlines()
    assert [line.split()[0] for line in lines if line] == ["sample", "clean", "global", "global"] * 2
    assert lines[1].split()[1:] == [data.spec.words_of_vocabulary()[t] for t in data.__getitems__([0]).tokens.tolist()]


def test_masks_of_a_run_are_shown(tmp_path: Path) -> None:
    parts = build(
        resolve(
            {"views": {"name": "plain"}, "objective": {"name": "mlm"}, "mask": {"name": "bert", "ratio": 0.5}}, "text"
        )
    )
    text = preview_views(parts.data, parts.views, tmp_path / "a.txt", parts, n=8).read_text()  # type: ignore[arg-type]
    cells = [cell for line in text.splitlines() if line.startswith("global") for cell in line.split()]
    assert sum(cell.startswith("[") and cell not in ("[CLS]", "[SEP]") for cell in cells) > 20
    assert sum(">" in cell for cell in cells) >= 1


def test_partners_are_brought_and_a_picture_is_drawn(tmp_path: Path) -> None:
    data = Sentences(documents=6)
    out = preview_views(data, Neighbors(data.spec), tmp_path / "a.png", n=1)
    picture = np.asarray(Image.open(out))
    assert picture.shape[0] > 40
    assert (picture < 100).any()
