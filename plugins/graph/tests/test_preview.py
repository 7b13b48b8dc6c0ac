"""Pictures of whole graphs and of what surrounds a node."""

from pathlib import Path

from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.motifs import Motifs
from unlabeled_graph.preview import preview_views, surroundings
from unlabeled_graph.views.standard import Augment, Shuffle


def test_whole_graphs_are_drawn_as_their_views_are(tmp_path: Path) -> None:
    data = Motifs()
    first = preview_views(data, Augment(data.spec), tmp_path / "a.png", n=2)
    other = preview_views(data, Shuffle(data.spec), tmp_path / "b.png", n=2)
    assert first.read_bytes() != other.read_bytes()


def test_of_a_large_graph_the_surroundings_are_drawn() -> None:
    data = Karate()
    rows = surroundings(data.__getitems__([8, 3]), 1)
    assert 3 in rows.tolist()
    assert len(rows) == 34
