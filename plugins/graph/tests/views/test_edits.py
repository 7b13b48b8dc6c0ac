"""Properties of every change of a graph: exact shares, no edge between graphs, undirected and isolated nodes kept."""

import warnings

import pytest
import torch
from graph_samples import batches, links_of, many, single
from hypothesis import given, settings
from hypothesis import strategies as st

from unlabeled.draw import Draw
from unlabeled_graph.batch import GraphBatch, is_symmetric
from unlabeled_graph.ops.sparse import dense, sparse_rows
from unlabeled_graph.views import edits

SHARES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8])
CHEAP = settings(max_examples=25, deadline=None)


def drop_paths(batch, draw, share):
    return edits.drop_paths(batch, draw, share, 4)


LINKS = [edits.drop_links, drop_paths, edits.add_links]
NODES = [edits.drop_nodes, edits.walk_subgraph]


def sound(batch):
    """The invariants of a batch, and both directions of every link."""
    total = batch.total
    key = batch.edges[1] * total + batch.edges[0]
    assert bool((key[1:] > key[:-1]).all()), "sorted, none twice"
    assert not bool((batch.edges[0] == batch.edges[1]).any()), "no loops"
    assert torch.equal(batch.group[batch.edges[0]], batch.group[batch.edges[1]]), "no graph is joined to another"
    assert is_symmetric(batch.edges, total), "undirected"
    assert sum(batch.lengths) == total


@CHEAP
@given(batches(), SHARES, st.integers(0, 1000), st.sampled_from(LINKS))
def test_changes_of_links(batch, share, seed, change):
    before = torch.bincount(batch.group[batch.edges[1]], minlength=len(batch.lengths)) // 2
    out = change(batch, Draw(seed, 0, batch.ids), share)
    sound(out)
    assert out.total == batch.total, "isolated nodes stay"
    after = torch.bincount(out.group[out.edges[1]], minlength=len(out.lengths)) // 2
    wanted = torch.tensor([round(share * n) for n in before.tolist()])
    if change is edits.add_links:
        room = torch.tensor([n * (n - 1) // 2 for n in batch.lengths]) - before
        assert bool((after - before <= torch.minimum(wanted, room)).all())
        assert bool(((after - before == wanted) | (wanted * 2 > room)).all()), (
            "as many as asked for, where there is room"
        )
    else:
        assert torch.equal(before - after, wanted), "an exact share of each graph"


@CHEAP
@given(batches(), SHARES, st.integers(0, 1000), st.sampled_from(NODES))
def test_changes_of_nodes(batch, share, seed, change):
    kept = [
        n - min(round(share * n), n - 1) if change is edits.drop_nodes else min(max(1, round(share * n)), n)
        for n in batch.lengths
    ]
    out, origin = change(batch, Draw(seed, 0, batch.ids), share)
    sound(out)
    if batch.nodes is not None:
        assert origin is None
        assert out.total == batch.total, "samples keep their rows"
        return
    assert list(out.lengths) == (list(batch.lengths) if origin is None else kept)
    if origin is not None:
        assert torch.equal(dense(out.x), dense(batch.x)[origin])
        inside = torch.isin(batch.edges, origin).all(0)
        assert torch.equal(origin[out.edges], batch.edges[:, inside]), "every link of two kept nodes stays"


@CHEAP
@given(batches(), SHARES, st.integers(0, 1000))
def test_columns_and_rows_of_features(batch, share, seed):
    draw = Draw(seed, 0, batch.ids)
    x = dense(edits.mask_columns(batch, draw, share).x)
    for rows in range(len(batch.lengths)):
        mine = x[batch.group == rows]
        assert int((mine == 0).all(0).sum()) == round(share * 6), "an exact share of the columns, of all nodes alike"
        assert int((mine != 0).all(0).sum()) == 6 - round(share * 6)
    for change in (edits.mask_rows, edits.noisy_rows):
        x = dense(change(batch, draw, share).x)
        changed = (x != dense(batch.x)).any(1)
        counts = torch.bincount(batch.group[changed], minlength=len(batch.lengths)).tolist()
        assert counts == [min(round(share * n), n - 1) for n in batch.lengths]


@CHEAP
@given(batches(), st.integers(0, 1000))
def test_shuffled_rows_stay_in_their_graph(batch, seed):
    swap = edits.shuffle_rows(batch, Draw(seed, 0, batch.ids))
    assert torch.equal(swap.sort().values, torch.arange(batch.total))
    assert torch.equal(batch.group[swap], batch.group)


@pytest.mark.parametrize("change", [*LINKS, *NODES, edits.mask_columns, edits.mask_rows, edits.noisy_rows])
def test_a_graph_is_changed_alike_in_any_batch(change):
    data = many((9, 7, 11, 8))

    def of(ids, place):
        batch = data.__getitems__(ids)
        out = change(batch, Draw(3, 1, batch.ids), 0.4)
        found = out[0] if isinstance(out, tuple) else out
        return found[place : place + 1]

    for other, place in (([2], 0), ([3, 2, 0], 1)):
        first, second = of([0, 1, 2, 3], 2), of(other, place)
        assert torch.equal(first.edges, second.edges)
        assert torch.equal(dense(first.x), dense(second.x))


@pytest.mark.parametrize("change", [*LINKS, edits.mask_columns, edits.mask_rows])
def test_a_node_level_graph_is_changed_alike_whichever_nodes_are_samples(change):
    batch = single(14)
    some = GraphBatch(torch.tensor([3, 7]), batch.x, batch.edges, (14,), seeds=torch.tensor([3, 7]), nodes=batch.nodes)
    a, b = (change(it, Draw(3, 1, it.ids), 0.4) for it in (batch, some))
    assert torch.equal(a.edges, b.edges)
    assert torch.equal(dense(a.x), dense(b.x))


def test_kept_nodes_and_their_links_equal_pygs_subgraph():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        from torch_geometric.utils import subgraph
    batch = many().__getitems__([0, 1, 2, 3])
    kept = torch.rand(batch.total, generator=torch.Generator().manual_seed(0)) < 0.6
    expected, _ = subgraph(kept, batch.edges, relabel_nodes=True, num_nodes=batch.total)
    assert torch.equal(edits.keep_nodes(batch, kept)[0].edges, expected)


def test_every_link_is_dropped_equally_often():
    batch = single(10, 0.6)
    total = links_of(batch)
    kept = torch.zeros(100)
    for epoch in range(400):
        out = edits.drop_links(batch, Draw(0, epoch, batch.ids), 0.5)
        kept[out.edges[0] * 10 + out.edges[1]] += 1
    counts = kept[batch.edges[0] * 10 + batch.edges[1]]
    share = 1 - round(0.5 * total) / total
    assert float((counts - 400 * share).abs().max()) < 5 * (400 * share * (1 - share)) ** 0.5


def test_directed_graphs_stay_as_directed_as_they_were():
    batch = single(14, 0.5, directed=True)
    out = edits.drop_links(batch, Draw(0, 0, batch.ids), 0.3)
    assert batch.edges.shape[1] - out.edges.shape[1] == round(0.3 * batch.edges.shape[1])
    assert edits.add_links(batch, Draw(0, 0, batch.ids), 0.3).edges.shape[1] > batch.edges.shape[1]


def test_features_and_weights_of_edges_go_with_them():
    batch = single(12, 0.4)
    batch = batch.altered(edge_attr=batch.edges.T.float(), weight=batch.edges.sum(0).float())
    out = edits.drop_links(batch, Draw(0, 0, batch.ids), 0.5)
    assert torch.equal(out.edge_attr, out.edges.T.float())
    assert torch.equal(out.weight, out.edges.sum(0).float())
    more = edits.add_links(batch, Draw(0, 0, batch.ids), 0.2)
    assert len(more.edge_attr) == more.edges.shape[1]


def test_sparse_features_are_masked_like_dense_ones():
    for batch in (single(12), many().__getitems__([0, 1, 2, 3])):
        sparse = batch.altered(x=sparse_rows(dense(batch.x)))
        draw = Draw(0, 0, batch.ids)
        for change in (edits.mask_columns, edits.mask_rows):
            assert torch.equal(dense(change(sparse, draw, 0.5).x), dense(change(batch, draw, 0.5).x))


def test_paths_are_dropped_in_runs():
    ring = torch.arange(60)
    edges = torch.cat((torch.stack((ring, (ring + 1) % 60)), torch.stack(((ring + 1) % 60, ring))), dim=1)
    edges = edges[:, torch.argsort(edges[1] * 60 + edges[0])]
    batch = GraphBatch(ring, torch.ones(60, 2), edges, (60,), seeds=ring, nodes=ring)

    def joints(out):
        """Nodes of which both links are gone."""
        return int((torch.bincount(out.edges[1], minlength=60) == 0).sum())

    paths = sum(joints(edits.drop_paths(batch, Draw(s, 0, ring), 0.3, 6)) for s in range(20))
    singles = sum(joints(edits.drop_links(batch, Draw(s, 0, ring), 0.3)) for s in range(20))
    assert paths > 1.3 * singles


def test_a_subgraph_by_walks_hangs_together_where_the_graph_does():
    data = many((30,), 0.15, seed=5)
    batch = data.__getitems__([0])
    out, origin = edits.walk_subgraph(batch, Draw(0, 0, batch.ids), 0.4)
    assert origin is not None
    assert out.total == 12
    reached = torch.zeros(12, dtype=torch.bool)
    reached[0] = True
    for _ in range(12):
        reached[out.edges[1][reached[out.edges[0]]]] = True
    assert bool(reached.all())
