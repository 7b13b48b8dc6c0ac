"""Batches of graphs: cutting, moving, pooling, and the invariants that readers see to."""

import pytest
import torch
from graph_samples import many, single

from unlabeled.contract import View
from unlabeled_graph.batch import GraphBatch, GraphSpec, graph_batch, is_symmetric, sort_edges
from unlabeled_graph.ops.sparse import dense


def test_a_spec_says_what_is_wrong():
    for wrong in ({"features": 0}, {"features": 1, "edge_features": -1}, {"features": 1, "level": "edge"}):
        with pytest.raises(ValueError, match="features"):
            GraphSpec(**wrong)


def test_edges_are_sorted_by_target_then_source():
    edges = torch.tensor([[2, 0, 1, 1], [0, 1, 0, 2]])
    found, order = sort_edges(edges, 3)
    assert found.tolist() == [[1, 2, 0, 1], [0, 0, 1, 2]]
    assert torch.equal(edges[:, order], found)
    assert sort_edges(found, 3)[1] is None
    assert not is_symmetric(found, 3)
    assert is_symmetric(sort_edges(torch.cat((edges, edges.flip(0)), 1).unique(dim=1), 3)[0], 3)


def test_a_cut_batch_holds_those_graphs_alone():
    data = many()
    whole = data.__getitems__([0, 1, 2, 3])
    part = whole[1:3]
    alone = data.__getitems__([1, 2])
    assert torch.equal(part.edges, alone.edges)
    assert torch.equal(dense(part.x), dense(alone.x))
    assert part.lengths == alone.lengths == (1, 8)
    assert len(whole[2:2]) == 0
    with pytest.raises(TypeError, match="in order"):
        whole[::2]
    with pytest.raises(TypeError, match="cannot be taken apart"):
        single()[0:2]


def test_views_of_graphs_are_cut_with_their_layout():
    batch = many().__getitems__([0, 1, 2, 3])
    view = View(batch, "global", layout=batch.layout).cut(2, 4)
    assert torch.equal(view.layout.edges, view.batch.edges)
    assert view.layout.lengths == (8, 12)


def test_graphs_are_packed_one_after_the_other():
    x, edges = torch.ones(2, 3), torch.tensor([[1, 0], [0, 1]])
    batch = graph_batch([4, 7], [(x, edges, torch.zeros(2, 1)), (2 * x, edges, torch.ones(2, 1))])
    assert batch.ids.tolist() == [4, 7]
    assert batch.edges.tolist() == [[1, 0, 3, 2], [0, 1, 2, 3]]
    assert batch.edge_attr.flatten().tolist() == [0, 0, 1, 1]


def test_a_shared_graph_moves_once():
    batch = single()
    first, second = batch.to("meta"), batch.to("meta")
    assert first.x is second.x
    assert batch.to("cpu") is batch


def test_work_of_a_graph_is_forgotten_when_it_changes():
    batch = single()
    batch.memo["adjacency"] = "of this graph"
    assert not batch.altered(x=batch.x).memo


def test_nodes_are_pooled_by_their_rows():
    batch = single()
    tokens = torch.randn(12, 2)
    assert batch.pooled(tokens) is tokens
    some = GraphBatch(torch.tensor([3, 1]), batch.x, batch.edges, (12,), seeds=torch.tensor([3, 1]), nodes=batch.nodes)
    assert torch.equal(some.pooled(tokens), tokens[[3, 1]])
