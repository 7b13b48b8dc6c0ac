"""Positions: near vectors for near nodes, the same in any batch, and told to the objective."""

from dataclasses import replace

import pytest
import torch
from graph_samples import many

from unlabeled.contract import Rows
from unlabeled.draw import Draw
from unlabeled_graph.batch import GraphBatch, GraphSpec, sort_edges
from unlabeled_graph.encoders.layers import GCN
from unlabeled_graph.ops.positions import diffused
from unlabeled_graph.views.standard import Plain


def test_positions_are_near_where_nodes_are():
    ring = torch.arange(30)
    links = torch.stack((ring, (ring + 1) % 30))
    edges, _ = sort_edges(torch.cat((links, links.flip(0)), 1), 30)
    batch = GraphBatch(ring, torch.ones(30, 1), edges, (30,), seeds=ring, nodes=ring, complete=True)
    place = diffused(batch, 64)
    torch.testing.assert_close(place.square().mean(1), torch.ones(30))
    near, far = (place[:1] * place[1:2]).mean(), (place[:1] * place[15:16]).mean()
    assert near > 0.6
    assert abs(far) < 0.4


@pytest.mark.parametrize("sizes", [(5, 1, 8), (12,)])
def test_positions_of_a_graph_are_its_own_in_any_batch(sizes):
    data = many(sizes)
    together = diffused(data.__getitems__(list(range(len(sizes)))), 6).split(sizes)
    for number, found in enumerate(together):
        torch.testing.assert_close(diffused(data.__getitems__([number]), 6), found)


def test_positions_of_visible_rows_reach_the_objective():
    batch = many().__getitems__([0, 2])
    (view,) = Plain(GraphSpec(6, level="graph"), positions=4)(batch, Draw(0, 0, batch.ids))
    assert view.layout is not None
    rows = Rows(torch.tensor([1, 7]), (1, 1))
    out = GCN(GraphSpec(6, level="graph"))(replace(view, hidden=rows), hide="drop")
    kept = [n for n in range(13) if n not in (1, 7)]
    torch.testing.assert_close(out.layout.position, diffused(batch, 4)[kept])
