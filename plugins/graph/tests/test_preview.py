"""Previews: a readable picture of nodes and of graphs, the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.motifs import Motifs
from unlabeled_graph.preview import CELL, GAP, TITLE, preview_views, surroundings
from unlabeled_graph.views.standard import Augment, Shuffle


@pytest.mark.parametrize("kind", [Karate, Motifs])
def test_a_row_for_each_sample_and_a_column_for_each_view(kind: type, tmp_path: Path) -> None:
    data = kind()
    first = preview_views(data, Augment(data.spec), tmp_path / "a.png", n=2)
    with Image.open(first) as picture:
        assert picture.size == ((CELL + GAP) * 3 + GAP, TITLE + (CELL + GAP) * 2 + GAP)
        assert len(picture.getcolors(1 << 16) or ()) > 4
    again = preview_views(data, Augment(data.spec), tmp_path / "b.png", n=2)
    assert first.read_bytes() == again.read_bytes()
    other = preview_views(data, Shuffle(data.spec), tmp_path / "c.png", n=2)
    assert first.read_bytes() != other.read_bytes()


def test_of_a_large_graph_the_surroundings_are_drawn() -> None:
    data = Karate()
    rows = surroundings(data.__getitems__([8, 3]), 1)
    assert 3 in rows.tolist()
    assert len(rows) == 34


def test_wrong_requests_are_named(tmp_path: Path) -> None:
    data = Karate()
    with pytest.raises(ValueError, match="n is 0"):
        preview_views(data, Augment(data.spec), tmp_path / "a.png", n=0)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        preview_views(data, Augment(data.spec), tmp_path / "a.jpg")
