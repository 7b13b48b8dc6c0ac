"""Encoders: what the conformance kit does not ask, at both levels, with all options."""

import subprocess
import sys

import pytest
import torch
from graph_samples import many, single

from unlabeled.contract import Needs, Rows, View
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.encoders import layers as encoders
from unlabeled_graph.ops.pyg import nn as pyg
from unlabeled_graph.ops.sparse import dense, sparse_rows

ALL = [encoders.GCN, encoders.GAT, encoders.GIN, encoders.SAGE, encoders.GPS, encoders.MLP]
OPTIONS = {"width": 8, "depth": 2, "norm": "layer", "activation": "elu", "residual": True, "jump": "cat"}


def make(kind, spec, **settings):
    torch.manual_seed(0)
    return kind(spec, **settings).eval()


@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("kind", ALL)
def test_sparse_features_give_what_dense_ones_give(kind, level):
    batch = single() if level == "node" else many().__getitems__([0, 1, 2, 3])
    encoder = make(kind, GraphSpec(6, level=level))
    other = batch.altered(x=sparse_rows(dense(batch.x)))
    first, second = (encoder(View(it, "clean")) for it in (batch, other))
    assert torch.allclose(first.pooled, second.pooled, atol=1e-5)
    assert first.pooled.shape == (len(batch), encoder.dim)


@pytest.mark.parametrize("jump", ["last", "cat", "sum", "max"])
@pytest.mark.parametrize("kind", [encoders.GCN, encoders.GAT, encoders.GIN, encoders.SAGE, encoders.MLP])
def test_options_equal_pygs_modules(kind, jump):
    encoder = make(kind, GraphSpec(6), **{**OPTIONS, "jump": jump, "last": False})
    view = View(single(), "clean")
    tokens, pooled = encoder.bare(view)
    out = encoder(view)
    assert encoder.dim == (16 if jump == "cat" else 8)
    assert torch.allclose(out.tokens, tokens, atol=1e-5)
    assert torch.allclose(out.pooled, pooled, atol=1e-5)


@pytest.mark.parametrize("jump", ["last", "cat"])
def test_layers_before_the_last_may_be_wider(jump):
    encoder = make(encoders.GCN, GraphSpec(6), **{**OPTIONS, "jump": jump, "inner": 12, "depth": 3})
    view = View(single(), "clean")
    assert encoder.dim == (32 if jump == "cat" else 8)
    assert torch.allclose(encoder(view).tokens, encoder.bare(view)[0], atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
def test_pooling_equals_pygs(pool):
    batch = many().__getitems__([0, 1, 2, 3])
    encoder = make(encoders.GCN, GraphSpec(6, level="graph"), width=5, pool=pool)
    out = encoder(View(batch, "clean"))
    how = {"mean": pyg.global_mean_pool, "sum": pyg.global_add_pool, "max": pyg.global_max_pool}[pool]
    assert torch.allclose(out.pooled, how(out.tokens, batch.group), atol=1e-6)


@pytest.mark.parametrize("kind", [encoders.GIN, encoders.GAT, encoders.GPS])
def test_edge_features_are_read_where_there_are_any(kind):
    batch = single()
    attr = torch.rand(batch.edges.shape[1], 3, generator=torch.Generator().manual_seed(0))
    spec = GraphSpec(6, edge_features=3)
    reading, blind = make(kind, spec), make(kind, spec, read_edges=False)
    for encoder, changes in ((reading, True), (blind, False)):
        outs = [encoder(View(batch.altered(edge_attr=a), "clean")).pooled for a in (attr, 3 * attr + 1)]
        assert torch.equal(*outs) is not changes
    view = View(batch.altered(edge_attr=attr), "clean")
    torch.testing.assert_close(reading(view).tokens, reading.bare(view)[0], rtol=1e-5, atol=1e-5)
    dropped = Rows(torch.tensor([0, 3]), (2,))
    view = View(batch.altered(edge_attr=attr), "global", layout=batch.layout, hidden=dropped)
    assert reading(view, hide="drop").tokens.shape == (10, reading.dim)
    with pytest.raises(ValueError, match="read_edges false"):
        reading(View(batch, "diffusion"))


@pytest.mark.parametrize("sizes", [(12,), (3, 1, 7, 5)])
def test_walks_return_as_pygs_transform_says(sizes, monkeypatch):
    from torch_geometric.data import Data
    from torch_geometric.transforms import AddRandomWalkPE

    from unlabeled_graph.ops import positions

    monkeypatch.setattr(positions, "BLOCK", 3 * sum(sizes))
    batch = many(sizes).__getitems__(list(range(len(sizes))))
    data = Data(edge_index=batch.edges, num_nodes=batch.total)
    expected = AddRandomWalkPE(5, attr_name="placed")(data).placed
    torch.testing.assert_close(positions.return_chances(batch, 5), expected)
    encoder = make(encoders.GPS, GraphSpec(6, level="graph"), walks=5)
    view = View(batch, "clean")
    torch.testing.assert_close(encoder(view).tokens, encoder.bare(view)[0], rtol=1e-5, atol=1e-5)


def test_a_dropped_sample_has_no_features_of_its_own():
    batch = single()
    encoder = make(encoders.GCN, GraphSpec(6), width=4)
    view = View(batch, "global", layout=batch.layout, hidden=Rows(torch.tensor([2, 7]), (2,)))
    pooled = encoder(view, hide="drop").pooled
    assert pooled.shape == (12, 4)
    assert torch.equal(pooled[[2, 7]], torch.zeros(2, 4))
    assert bool((pooled[[0, 1]] != 0).any())


def test_the_mask_token_learns_only_where_rows_are_masked():
    encoder = make(encoders.GCN, GraphSpec(6))
    for asked in (frozenset({"mask"}), frozenset()):
        encoder.prepare(Needs(views={}, encoder=asked))
        assert encoder.mask_token.requires_grad is bool(asked)


def test_attention_refuses_weights_of_edges():
    batch = single()
    weighted = batch.altered(weight=torch.ones(batch.edges.shape[1]))
    with pytest.raises(ValueError, match="choose --encoder gcn"):
        make(encoders.GAT, GraphSpec(6))(View(weighted, "global"))


def test_gradients_of_weights_under_bfloat16_are_finite():
    batch = single()
    for kind in ALL:
        encoder = make(kind, GraphSpec(6)).train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            encoder(View(batch, "global")).pooled.float().square().sum().backward()
        for parameter in encoder.parameters():
            assert parameter.grad is None or bool(parameter.grad.isfinite().all())


def test_importing_pyg_warns_of_nothing():
    code = "import warnings; warnings.simplefilter('error'); import unlabeled_graph.encoders.layers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "torch.jit" not in done.stderr
