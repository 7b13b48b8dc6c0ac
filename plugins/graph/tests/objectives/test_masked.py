"""Masked features: every decoder teaches the encoder, hidden rows are empty before one that reads their neighbors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graph_samples import opposite, squares
from scipy.optimize import minimize

from unlabeled.build import make
from unlabeled.contract import Rows, View
from unlabeled.draw import Purpose
from unlabeled.errors import UsageError
from unlabeled.nn.chance import permute_rows, row_words
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.decoders import GATDecoder, GCNDecoder, GINDecoder, MLPDecoder
from unlabeled_graph.encoders.layers import GCN
from unlabeled_graph.objectives.pareto_gnn import TASKS, least_norm

SPEC = GraphSpec(6, level="graph")
HIDDEN = Rows(torch.tensor([1, 2, 5, 7]), (2, 2))


def parts_of(name, decoder, **settings):
    """Encoder, objective and as many views as it asks for, half of whose nodes are hidden."""
    torch.manual_seed(0)
    encoder, batch = GCN(SPEC, width=8), squares()
    objective = make("graph", "objective", name, settings, {"encoder": encoder, "decoder": decoder, "content": 6})
    encoder.prepare(objective.needs)
    first = View(batch, "global", layout=batch.layout, content=batch.x, hidden=HIDDEN)
    second = replace(first, batch=batch.altered(x=batch.x + 0.1 * torch.randn_like(batch.x)))
    return encoder, objective, [first, second][: objective.needs.views["global"]]


@pytest.mark.parametrize("decoder", [MLPDecoder, GCNDecoder, GATDecoder, GINDecoder])
@pytest.mark.parametrize("name", ["graphmae", "graphmae2", "pareto_gnn"])
def test_every_decoder_gives_every_parameter_a_gradient(name, decoder):
    encoder, objective, views = parts_of(name, decoder)
    if name == "pareto_gnn":
        objective._losses(encoder, views)[TASKS.index("features")].backward()
        learning = [*encoder.parameters(), *objective.bridge.parameters(), *objective.decoder.parameters()]
    else:
        objective(encoder, views).total.backward()
        learning = [p for part in (encoder, objective) for p in part.parameters() if p.requires_grad]
    # what attention reads of the row that is asked for is the empty row, where it was emptied
    learning = [p for p in learning if name == "graphmae2" or p is not getattr(objective.decoder, "target", None)]
    assert all(p.grad is not None and bool(p.grad.any()) for p in learning)


@pytest.mark.parametrize("name", ["graphmae", "pareto_gnn"])
def test_hidden_rows_are_empty_before_a_decoder_that_mixes(name):
    encoder, objective, views = parts_of(name, GCNDecoder)
    codes = objective.bridge(encoder(views[0]).tokens).clone()
    codes[HIDDEN.index] = 0
    found = objective.decoder(codes, views[0].layout)[HIDDEN.index]
    expected = (1 - F.cosine_similarity(found, views[0].content[HIDDEN.index])).pow(3).mean()
    loss = objective(encoder, views).total if name == "graphmae" else objective._losses(encoder, views)[0]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)


def test_the_losses_of_pareto_s_tasks():
    encoder, objective, views = parts_of("pareto_gnn", GCNDecoder, temperature=0.4, decorrelation=0.01)
    found = dict(zip(TASKS, objective._losses(encoder, views), strict=True))
    first, second = (encoder(view.clean()) for view in views)
    z = F.relu(objective.link(F.normalize(first.tokens, dim=1)))
    edges = views[0].batch.edges
    true, false = (objective.linked(z[a] * z[b])[:, 0] for a, b in (edges, opposite(edges)))
    links = -torch.cat((F.logsigmoid(true), F.logsigmoid(-false))).mean()
    torch.testing.assert_close(found["links"], links)
    both = torch.cat([F.normalize(objective.contrast(features.pooled), dim=1) for features in (first, second)])
    logits = (both @ both.T / 0.4).fill_diagonal_(-torch.inf)
    torch.testing.assert_close(found["contrast"], F.cross_entropy(logits, torch.tensor([2, 3, 0, 1])))
    words = row_words(views[0], views[0].layout, objective.clock.step, Purpose.SWAP)
    mixed = encoder(replace(views[0].clean(), swap=permute_rows(words, views[0].layout))).tokens
    summary = torch.sigmoid(first.tokens.view(2, 4, -1).mean(1)).repeat_interleave(4, 0) @ objective.bilinear.T
    true, false = ((tokens * summary).sum(1) for tokens in (first.tokens, mixed))
    torch.testing.assert_close(found["infomax"], -torch.cat((F.logsigmoid(true), F.logsigmoid(-false))).mean())
    decorrelation = [
        objective.double()._losses(encoder.double(), [as_double(view) for view in views])[TASKS.index("decorrelation")]
    ]
    a, b = (encoder(as_double(view).clean()).pooled for view in views)
    a, b = ((x - x.mean(0)) / (x.var(0, correction=0) + 1e-12).sqrt() for x in (a, b))
    apart = sum((x.T @ x / 2 - torch.eye(8)).square().sum() for x in (a, b))
    torch.testing.assert_close(decorrelation[0], (-(a * b).mean(0).sum() + 0.01 * apart) / 8)


def as_double(view):
    return replace(view, batch=view.batch.altered(x=view.batch.x.double()), content=view.content.double())


def test_the_weights_are_those_of_the_shortest_mixture_of_the_tasks_gradients():
    encoder, objective, views = parts_of("pareto_gnn", GCNDecoder)
    loss = objective(encoder, views)
    learning = [p for p in encoder.parameters() if p.requires_grad]
    rows = []
    for each in objective._losses(encoder, views):
        slopes = torch.autograd.grad(each, learning, allow_unused=True, retain_graph=True)
        flat = torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(slopes, learning)])
        rows.append(flat / flat.norm())
    gradients = torch.stack(rows).double().numpy()
    solved = minimize(
        lambda w: ((w @ gradients) ** 2).sum(),
        np.full(5, 0.2),
        jac=lambda w: 2 * gradients @ (w @ gradients),
        bounds=[(0, 1)] * 5,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    weights = torch.stack([loss.parts[f"weight_{name}"] for name in TASKS])
    np.testing.assert_allclose(weights.numpy(), solved.x, atol=0.03)
    losses = torch.stack(objective._losses(encoder, views))
    torch.testing.assert_close(loss.total, weights @ losses)


def test_the_weights_are_found_on_the_device_alone():
    products = torch.eye(5, device="meta")  # holds no numbers, so that none can be asked for
    assert least_norm(products).shape == (5,)


def test_mae_refuses_a_decoder_that_reads_each_row_alone():
    with pytest.raises(UsageError, match="this decoder reads each row alone: choose another --decoder"):
        make("graph", "objective", "mae", {}, {"encoder": GCN(SPEC), "decoder": MLPDecoder, "content": 6})
