"""Node-level data: the whole graph in memory, neighborhoods, clusters, splits and held-out links."""

from dataclasses import fields
from inspect import signature

import pytest
import torch

from unlabeled.build import trainable
from unlabeled.training.datamodule import Indices
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.data.blocks import Blocks
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.nodes import Nodes, hold_links
from unlabeled_graph.data.raw import Raw, mend
from unlabeled_graph.data.splits import FOLDS
from unlabeled_graph.ops.sampling import by_cluster, cluster_order
from unlabeled_graph.ops.sparse import SparseRows, dense


def test_the_whole_graph_is_handed_out_as_it_is():
    data = Blocks()
    whole = data.__getitems__(list(range(len(data))))
    assert whole is data.graph
    assert whole.complete
    assert isinstance(whole.x, SparseRows)
    some = data.__getitems__([7, 3])
    assert some.x is whole.x
    assert some.memo is whole.memo
    assert some.ids.tolist() == [7, 3]
    assert not some.complete


def test_training_sees_all_nodes_and_the_description_says_so():
    data = Blocks()
    assert int(data.test.sum()) == 480
    assert len(trainable(data)) == len(data)
    assert "training sees all nodes, without labels" in data.describe()


def test_neighborhoods_hold_the_sample_and_what_is_near():
    data = Karate(sampling="neighbors", fanout=(3, 2))
    batch = data.__getitems__([5, 0, 33])
    assert len(batch.lengths) == 3
    assert batch.nodes[batch.seeds].tolist() == [5, 0, 33]
    assert max(batch.lengths) <= 1 + 3 + 6
    assert torch.equal(dense(batch.x), dense(data.graph.x)[batch.nodes])
    links = set(map(tuple, data.graph.edges.T.tolist()))
    for edge in batch.nodes[batch.edges].T.tolist():
        assert tuple(edge) in links
    group = batch.group
    for number in range(3):  # every link of two nodes of a neighborhood is there
        mine = batch.nodes[group == number].tolist()
        inside = {(a, b) for a, b in links if a in mine and b in mine}
        assert int((group[batch.edges[0]] == number).sum()) == len(inside)


def test_a_neighborhood_is_drawn_by_its_sample_the_seed_and_the_epoch():
    data = Blocks(sampling="neighbors", fanout=(3, 3))

    def rows(ids, seed, epoch, place):
        batch = data.__getitems__(Indices(ids, seed, epoch))[place : place + 1]
        return batch.nodes.tolist()

    first = rows([9, 50, 3], 1, 2, 1)
    assert first == rows([50], 1, 2, 0)
    assert first != rows([50], 1, 3, 0)
    assert first != rows([50], 2, 2, 0)
    assert len(first) <= 1 + 3 + 9


def test_more_neighbors_than_there_are_give_the_whole_neighborhood():
    data = Karate(sampling="neighbors", fanout=(100,))
    batch = data.__getitems__([0])
    near = data.graph.edges[0][data.graph.edges[1] == 0].tolist()
    assert batch.nodes.tolist() == sorted([0, *near])


def test_clusters_are_parts_of_the_graph_in_which_neighbors_stay_together():
    data = Blocks(sampling="clusters", cluster=50, mixing=0.0)
    assert torch.equal(data.order.sort().values, torch.arange(600))
    shuffled = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    ids = data.arrange(shuffled, 100)
    assert torch.equal(ids.sort().values, torch.arange(600))

    def edges(order):
        steps = [Indices(order[i : i + 100].tolist(), 0, 0) for i in range(0, 600, 100)]
        return sum(data.__getitems__(step).edges.shape[1] for step in steps)

    assert edges(ids) > 2 * edges(shuffled)
    batch = data.__getitems__(Indices(ids[:100].tolist(), 0, 0))
    assert torch.equal(batch.nodes[batch.seeds], batch.ids)
    assert len(batch.lengths) == 1


def test_probes_read_the_whole_graph_where_training_reads_clusters():
    data = Blocks(sampling="clusters")
    assert data.__getitems__([3, 1]).total == 600
    assert data.__getitems__(Indices([3, 1], 0, 0)).total == 2
    assert data.together == 600
    assert Blocks(sampling="neighbors").together == 0


def test_clusters_come_in_the_order_in_which_an_epoch_names_them():
    order = torch.tensor([2, 0, 1, 3, 5, 4])
    assert by_cluster(order, 2, torch.tensor([4, 3, 0, 1, 2, 5])).tolist() == [5, 4, 1, 3, 2, 0]
    assert len(cluster_order(Karate().pattern)) == 34


def test_an_epoch_of_one_step_needs_no_order():
    data = Karate()
    ids = torch.randperm(34)
    assert torch.equal(data.arrange(ids, 34), torch.arange(34))
    assert data.arrange(ids, 16) is ids


def test_splits_are_exact_stratified_and_differ_by_turn():
    data = Blocks()
    part = data.split(0, "random")
    assert [len(x) for x in (part.train, part.val, part.test)] == [60, 60, 480]
    assert torch.cat((part.train, part.val, part.test)).sort().values.tolist() == list(range(600))
    assert torch.bincount(data.all_labels[part.train]).tolist() == [15] * 4
    assert part.train.tolist() != data.split(1, "random").train.tolist()
    tests = [data.split(turn, "folds").test for turn in range(FOLDS)]
    assert torch.cat(tests).sort().values.tolist() == list(range(600))
    assert {len(test) for test in tests} == {60}


def test_held_out_links_are_gone_in_both_directions_and_negatives_are_no_links():
    data, whole = Blocks(held_links=0.1), Blocks()
    train, test, none = data.links
    total = whole.graph.edges.shape[1] // 2
    assert test.shape[1] == none.shape[1] == round(0.1 * total)
    assert train.shape[1] == total - test.shape[1]
    known = set(map(tuple, whole.graph.edges.T.tolist()))
    left = set(map(tuple, data.graph.edges.T.tolist()))
    assert not any((a, b) in left or (b, a) in left for a, b in test.T.tolist())
    assert not any((a, b) in known for a, b in none.T.tolist())
    assert len(left) == 2 * train.shape[1]
    assert "links held out" in data.describe()


def test_without_labels_there_is_no_split():
    raw = mend(Raw("it", "node", torch.ones(4, 2), torch.tensor([[0], [1]]), (4,)), undirected=True, normalize=False)
    data = Nodes(raw, split="random")
    assert (data.protocol, data.labels, data.test) == ("none", None, None)


def test_a_path_of_what_is_built_in_is_refused() -> None:
    with pytest.raises(ValueError, match="built in"):
        Karate("somewhere")


def test_an_edge_of_one_direction_is_held_out_whichever_way_it_points():
    edges = torch.tensor([[5, 4, 3, 2, 1, 9, 8, 7, 6, 9], [0, 0, 0, 0, 0, 1, 1, 1, 1, 2]])
    kept, (train, test, _) = hold_links(edges, 10, 0.3)
    assert test.shape[1] == 3
    assert train.shape[1] == 7
    assert int(kept.sum()) == 7


def test_no_count_of_a_spec_fixes_a_setting_of_other_data():
    """A saved encoder fixes the settings of data that are called like fields of its spec."""
    settings = {name for row in (Blocks, Karate) for name in signature(row).parameters}
    assert not settings & {field.name for field in fields(GraphSpec)}
