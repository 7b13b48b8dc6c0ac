"""Bad input is one clear line with the place; what can be mended is, and is said."""

from dataclasses import replace

import pytest
import torch

from unlabeled.errors import UsageError
from unlabeled_graph.data.raw import Raw, is_bag, labels_of, mend
from unlabeled_graph.ops.sparse import sparse_rows

EDGES = torch.tensor([[0, 1, 3], [1, 2, 4]])
GOOD = Raw("it", "graph", torch.ones(5, 2), EDGES, (3, 2), torch.tensor([0, 1]), ("a", "b"))
NAN = torch.ones(5, 2).index_fill(0, torch.tensor([3]), float("nan"))

BAD = {
    "node 3 has a feature that is not finite": {"x": NAN},
    "edge 1 joins \\[1, 9\\], but nodes are numbered 0 to 4": {"edges": torch.tensor([[0, 1], [1, 9]])},
    "edge 2 joins \\[-1, 4\\]": {"edges": torch.tensor([[0, 1, -1], [1, 2, 4]])},
    "edge 2 joins graphs \\[0, 1\\]": {"edges": torch.tensor([[0, 1, 2], [1, 2, 3]])},
    "graph 1 has no nodes \\(1 of 3 graphs are empty\\)": {"lengths": (3, 0, 2)},
    "graphs of 4 nodes together, but features of 5": {"lengths": (3, 1)},
    "3 labels, but there must be 2": {"y": torch.tensor([0, 1, 1])},
    "1 folds, but there must be 2": {"folds": torch.tensor([0])},
    "2 features of edges, but there must be 3": {"edge_attr": torch.ones(2, 1)},
    "edge 1 has a feature that is not finite": {"edge_attr": torch.tensor([[1.0], [float("inf")], [0.0]])},
    "the test set names sample 7, but there are 2": {"sets": {"test": torch.tensor([7])}},
    "they must be \\[2, E\\]": {"edges": torch.zeros(3, 2, dtype=torch.int64)},
    "no nodes": {"x": torch.ones(0, 2)},
}


@pytest.mark.parametrize("text", BAD)
def test_bad_input_is_named_with_its_place(text):
    with pytest.raises(UsageError, match=f"^it: .*{text}"):
        mend(replace(GOOD, **BAD[text]), undirected=True, normalize=False)


def test_a_sparse_feature_that_is_not_finite_is_named_by_its_node():
    with pytest.raises(UsageError, match="node 3"):
        mend(replace(GOOD, x=sparse_rows(NAN)), undirected=True, normalize=False)


def test_repairs_are_made_and_said():
    edges = torch.tensor([[0, 0, 1, 2, 1], [1, 1, 0, 2, 2]])
    attr = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    raw = mend(Raw("it", "node", torch.ones(4, 2), edges, (4,), edge_attr=attr), undirected=True, normalize=False)
    assert raw.edges.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]
    assert raw.edge_attr.flatten().tolist() == [3, 1, 5, 5], "features go with their edges; the first of equals stays"
    assert raw.symmetric
    notes = ", ".join(raw.notes)
    for part in ("1 loops removed", "1 duplicate edges merged", "1 edges added", "1 nodes without an edge"):
        assert part in notes
    assert mend(raw, undirected=True, normalize=False).notes[: len(raw.notes)] == raw.notes


def test_directed_graphs_stay_directed_where_asked():
    raw = mend(GOOD, undirected=False, normalize=False)
    assert not raw.symmetric
    assert raw.edges.shape[1] == 3


def test_rows_are_normalized_where_asked():
    raw = mend(GOOD, undirected=True, normalize=True)
    assert torch.equal(raw.x, torch.full((5, 2), 0.5))


def test_bags_of_words_are_told_by_zeros_and_signs():
    words = (torch.rand(20, 100, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    assert is_bag(words)
    assert is_bag(sparse_rows(words))
    assert not is_bag(-words)
    assert not is_bag(words[:, :10])
    assert not is_bag(torch.ones(20, 100))


def test_labels_are_classes_or_nothing():
    assert labels_of(None) is None
    assert labels_of(torch.tensor([0.5, 1.0])) is None
    found = labels_of(torch.tensor([1.0, float("nan"), 0.0]))
    assert found.tolist() == [1, -1, 0]
