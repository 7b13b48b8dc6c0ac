"""PyG's layers computed fast, against PyG's own forward: values and gradients of every parameter."""

import pytest
import torch
from graph_samples import single
from torch import nn

from unlabeled_graph.ops import convolutions
from unlabeled_graph.ops.adjacency import adjacency_in, adjacency_of
from unlabeled_graph.ops.convolutions import Input
from unlabeled_graph.ops.pyg import nn as pyg
from unlabeled_graph.ops.sparse import sparse_rows


def layer(kind):
    torch.manual_seed(0)
    if kind == "gcn":
        return pyg.GCNConv(6, 4), convolutions.gcn
    if kind == "sage":
        return pyg.SAGEConv(6, 4), convolutions.sage
    if kind == "gin":
        inner = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4))
        return pyg.GINConv(inner, train_eps=True), convolutions.gin
    conv = pyg.GATConv(6, 2, heads=2)
    return conv, lambda module, x, edges: convolutions.gat(module, x, edges, nn.Identity())


@pytest.mark.parametrize("features", ["dense", "sparse"])
@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("kind", ["gcn", "sage", "gin", "gat"])
def test_equal_to_pyg_in_value_and_gradient(kind, directed, features):
    batch = single(20, 0.2, directed=directed)
    assert batch.symmetric is not directed
    x = batch.x * (torch.rand(20, 6, generator=torch.Generator().manual_seed(3)) < 0.4)
    conv, ours = layer(kind)
    for parameter in conv.parameters():
        nn.init.normal_(parameter)
    target = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))

    def gradients(out):
        return list(torch.autograd.grad((out * target).sum(), list(conv.parameters())))

    expected = conv(x, batch.edges)
    found = ours(conv, Input(sparse_rows(x) if features == "sparse" else x), adjacency_of(batch))
    assert torch.allclose(found, expected, atol=1e-5)
    for mine, theirs in zip(gradients(found), gradients(expected), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4 * max(1.0, float(theirs.abs().max())))


def test_input_swaps_then_hides():
    batch = single(5)
    weight, token = torch.randn(3, 6), torch.randn(6)
    swap = torch.tensor([1, 0, 2, 2, 4])
    hidden = torch.tensor([False, False, True, False, False])
    it = Input(batch.x, swap, hidden, token)
    x = it.dense()
    assert torch.equal(x[0], batch.x[1])
    assert torch.equal(x[3], batch.x[2])
    assert torch.equal(x[2], token)
    assert torch.allclose(it.project(weight), x @ weight.T, atol=1e-6)


def test_dropout_of_sparse_features_drops_entries_alone():
    x = sparse_rows(torch.eye(50))
    dropped = Input(x).dropped(nn.Dropout(0.5)).x
    values = dropped.values
    assert set(values.tolist()) == {0.0, 2.0}


def test_attention_survives_great_logits():
    batch = single(10, 0.5)
    edges = adjacency_in(batch.layout)
    source = torch.linspace(-1e4, 1e4, 10)[:, None].requires_grad_()
    alpha, loops = convolutions.attention_of(source, source, edges, 0.2)
    total = loops.index_add(0, edges.pattern.rows, alpha)
    assert torch.allclose(total, torch.ones(10, 1))
    (alpha.square().sum() + loops.sum()).backward()
    assert bool(source.grad.isfinite().all())


def test_weights_of_edges_are_taken_as_they_are():
    batch = single(8, 0.5)
    weight = torch.rand(batch.edges.shape[1], generator=torch.Generator().manual_seed(0))
    conv = pyg.GCNConv(6, 4)
    found = convolutions.gcn(conv, Input(batch.x), adjacency_of(batch.altered(weight=weight, symmetric=False)))
    dense = torch.zeros(8, 8).index_put((batch.edges[1], batch.edges[0]), weight)
    assert torch.allclose(found, dense @ conv.lin(batch.x) + conv.bias, atol=1e-5)
