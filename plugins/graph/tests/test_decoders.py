"""Decoders: some rows alone equal those of all, and one layer equals PyG's."""

import pytest
import torch
from graph_samples import many, single

from unlabeled_graph import decoders
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.encoders import layers as encoders
from unlabeled_graph.ops.pyg import nn as pyg

ALL = [decoders.GCNDecoder, decoders.GATDecoder, decoders.GINDecoder, decoders.MLPDecoder]


@pytest.mark.parametrize("kind", ALL)
def test_rows_alone_equal_those_of_all_in_value_and_gradient(kind):
    torch.manual_seed(0)
    batch = many().__getitems__([0, 1, 2, 3])
    decoder, tokens = kind(4, 7), torch.randn(batch.total, 4, requires_grad=True)
    rows = torch.tensor([0, 5, 6, 20])
    some, every = decoder(tokens, batch.layout, rows=rows), decoder(tokens, batch.layout)
    assert every.shape == (batch.total, 7)
    assert torch.allclose(some, every[rows], atol=1e-6)
    wanted = [tokens, *decoder.parameters()]
    for a, b in zip(
        torch.autograd.grad(some.square().sum(), wanted), torch.autograd.grad(every[rows].square().sum(), wanted)
    ):
        assert torch.allclose(a, b, atol=1e-4)


def test_layers_equal_pyg():
    torch.manual_seed(0)
    batch = single(12)
    tokens = torch.randn(12, 4)
    gcn, gat = pyg.GCNConv(4, 7), pyg.GATConv(4, 7)
    ours = decoders.GCNDecoder(4, 7)
    ours.project.load_state_dict({"weight": gcn.lin.weight, "bias": gcn.bias})
    assert torch.allclose(ours(tokens, batch.layout), gcn(tokens, batch.edges), atol=1e-6)
    ours = decoders.GATDecoder(4, 7)
    state = {"source": gat.att_src[0], "target": gat.att_dst[0]}
    ours.load_state_dict({**state, "project.weight": gat.lin.weight, "project.bias": gat.bias})
    assert torch.allclose(ours(tokens, batch.layout), gat(tokens, batch.edges), atol=1e-6)


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    batch, tokens = single(12), torch.randn(12, 4)
    bare = decoders.GATDecoder(4, 7)
    for settings in ({"dropout": 0.5}, {"attention_dropout": 0.5}):
        decoder = decoders.GATDecoder(4, 7, **settings)
        decoder.load_state_dict(bare.state_dict())
        assert not torch.allclose(decoder(tokens, batch.layout), bare(tokens, batch.layout))
        decoder.eval()
        assert torch.equal(decoder(tokens, batch.layout), bare(tokens, batch.layout))


def test_graphmae_s_weights_are_normal_with_a_gain():
    torch.manual_seed(0)
    decoder = decoders.GATDecoder(512, 1433, gain=2**0.5)
    encoder = encoders.GAT(GraphSpec(1433), width=512, gain=2**0.5)
    for weight in (decoder.project.weight.detach(), encoder.convs[0].lin.weight.detach()):
        assert float(weight.std()) == pytest.approx((4 / (512 + 1433)) ** 0.5, rel=0.02)
        assert float(weight.abs().max()) > 3.5 * float(weight.std())


def test_no_rows_at_all():
    batch = single(5)
    for kind in ALL:
        out = kind(4, 7)(torch.randn(5, 4), batch.layout, rows=torch.zeros(0, dtype=torch.int64))
        assert out.shape == (0, 7)
