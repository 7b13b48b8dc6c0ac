"""PyG's objects: what is in them is read, or named."""

import pytest
import torch

from unlabeled.errors import UsageError
from unlabeled_graph.data.files import files
from unlabeled_graph.ops.pyg import Data, HeteroData

LINK = torch.tensor([[0, 1], [1, 0]])
NAN = float("nan")


def saved(tmp_path, found):
    torch.save(found, tmp_path / "it.pt")
    return files(str(tmp_path / "it.pt"), 0.0)


def test_a_graph_with_weights_and_several_labels_of_a_node(tmp_path):
    data = Data(x=torch.ones(2, 2), edge_index=LINK, y=torch.tensor([[0.0, 1.0], [1.0, 1.0]]), pos=torch.ones(2, 3))
    data.edge_weight = torch.tensor([0.5, 0.5])
    it = saved(tmp_path, data)
    assert it.targets.values.tolist() == [[0, 1], [1, 1]]
    assert it.graph.edge_attr.tolist() == [[0.5], [0.5]]
    assert "not read: pos" in it.describe()


def test_masks_that_overlap_are_refused(tmp_path):
    mask = torch.tensor([True, False])
    data = Data(x=torch.ones(2, 2), edge_index=LINK, y=torch.tensor([0, 1]), train_mask=mask, test_mask=mask)
    with pytest.raises(UsageError, match="sample 0 is in the train and the test set"):
        saved(tmp_path, data)


def test_targets_of_graphs(tmp_path):
    def graph(y):
        return Data(x=torch.ones(2, 2), edge_index=LINK, y=y)

    it = saved(tmp_path, [graph(torch.tensor([[0.5, 1.0]])), graph(None), graph(torch.tensor([[2.0, NAN]]))])
    wanted = torch.tensor([[0.5, 1], [NAN, NAN], [2, NAN]])
    torch.testing.assert_close(it.targets.values, wanted, equal_nan=True)
    assert "1 graphs without y" in it.describe()
    it = saved(tmp_path, [graph(torch.tensor([0, 1])), graph(torch.tensor([1]))])
    assert "not read: y" in it.describe()
    with pytest.raises(UsageError, match="some graphs have features of edges"):
        saved(tmp_path, [graph(None), Data(x=torch.ones(2, 2), edge_index=LINK, edge_attr=torch.ones(2))])


def test_masks_and_rest_of_many_kinds(tmp_path):
    data = HeteroData()
    data["author"].x = torch.ones(2, 1)
    data["paper"].x, data["paper"].y = torch.ones(3, 2), torch.tensor([0, 1, 0])
    data["paper"].train_mask = torch.tensor([True, False, False])
    data["paper"].test_mask = torch.tensor([False, True, True])
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1], [0, 2]])
    data["author", "writes", "paper"].edge_attr = torch.ones(2, 1)
    it = saved(tmp_path, data)
    assert it.protocol == "public"
    assert it.split().test.tolist() == [3, 4]
    assert "not read: writes.edge_attr" in it.describe()
