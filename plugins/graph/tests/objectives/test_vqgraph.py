"""VQGraph: a code rebuilds features and links, codes stay in use, and an MLP learns them from features alone."""

import pytest
import torch
import torch.nn.functional as F
from graph_samples import opposite, squares

import unlabeled
from unlabeled.build import build
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import merge, resolve
from unlabeled.contract import Progress, View
from unlabeled.nn.clock import after_step
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.encoders.layers import GCN, MLP
from unlabeled_graph.objectives.vqgraph import VQGraph
from unlabeled_graph.objectives.vqgraph_student import VQGraphStudent, assignment_loss
from unlabeled_graph.tokenizers.codes import code_cosines, codebook_of, codes_of

SPEC = GraphSpec(6, level="graph")


@pytest.fixture
def parts():
    """Encoder, objective and a view of graphs whose absent links are known."""
    torch.manual_seed(0)
    batch, encoder = squares(), GCN(SPEC, width=5)
    objective = VQGraph(encoder, 6, codes=3, code_dim=4, links=0.7, power=2.0)
    return encoder, objective, View(batch, "global", layout=batch.layout, content=batch.x)


def test_the_loss_is_features_links_and_a_quarter_of_the_mean_distance(parts):
    encoder, objective, view = parts
    loss = objective(encoder, [view])
    entered = encoder(view).tokens @ objective.enter[0].weight.T
    entered = (entered - entered.mean(0)) / (entered.var(0, correction=0) + 1e-5).sqrt()
    x, book = F.normalize(entered, dim=1), objective.quantizer.codebook
    code = book[(x @ book.T).argmax(1)]
    features = ((1 - F.cosine_similarity(objective.features(code), view.content)) ** 2).mean()
    z, edges = objective.structure(code), view.batch.edges
    true, false = (torch.sigmoid((z[a] * z[b]).sum(1)) for a, b in (edges, opposite(edges)))
    links = (((1 - true) ** 2).mean() + (false**2).mean()) / 2
    quantization = 0.25 * ((x - code) ** 2).mean()
    expected = features + 0.7 * links + quantization
    torch.testing.assert_close(loss.total, expected)
    parts = {"features": features, "links": links, "quantization": quantization}
    torch.testing.assert_close({name: loss.parts[name] for name in parts}, {n: p.detach() for n, p in parts.items()})


def test_the_encoder_learns_through_the_code_and_the_codebook_follows_it(parts):
    encoder, objective, view = parts
    objective.quantizer.commitment = 0.0
    objective(encoder, [view]).total.backward()
    assert bool(encoder.convs[0].lin.weight.grad.any()), "straight through"
    before = objective.quantizer.codebook
    assert not before.requires_grad
    after_step(objective, encoder, Progress(1, 2))
    assert not torch.equal(objective.quantizer.codebook, before)


def test_codes_stay_in_use():
    more = {"data": {"name": "blocks", "nodes": 300}, "encoder": {"width": 32}, "objective": {"codes": 64}}
    parts = build(resolve(merge(load_recipe("graph", "vqgraph"), more), "graph"))
    optimizer, _ = parts.optimizer(30)
    batch, used = parts.data.__getitems__(range(300)), []
    for step in range(30):
        loss = parts.loss(batch, step)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        after_step(parts.objective, parts.encoder, Progress(step + 1, 30))
        used.append(float(loss.parts["perplexity"]))
    assert used[-1] > 0.8 * used[0] > 20, "a codebook by gradient, drawn on by the sum, ended with 5 codes of 150"


def test_the_student_gives_the_teachers_assignments_from_features_alone():
    torch.manual_seed(0)
    batch = squares()
    teacher, student = GCN(SPEC, width=5), MLP(SPEC, width=5)
    objective = VQGraphStudent(student, teacher, temperature=4.0)
    view = View(batch, "global")
    loss = objective(student, [view])
    book = objective.quantizer_codebook
    truth = F.cosine_similarity(teacher(view).tokens[:, None], book[None], dim=2) / 4.0
    guess = F.cosine_similarity(objective.project(student(view).tokens)[:, None], book[None], dim=2) / 4.0
    p, q = truth.softmax(1), guess.softmax(1)
    torch.testing.assert_close(loss.total, 16 * (p * (p / q).log()).sum(1).mean(), rtol=1e-3, atol=1e-6)
    assert loss.parts["agreement"] == (truth.argmax(1) == guess.argmax(1)).float().mean()
    loss.total.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert bool(student.convs[0].weight.grad.any())
    assert assignment_loss(truth, truth, 4.0).abs().max() < 1e-5


def test_the_student_reads_the_codebook_of_a_run(tmp_path):
    small = {"encoder": {"width": 8}, "objective": {"codes": 5, "code_dim": 3}, "epochs": 3, "tensorboard": False}
    unlabeled.pretrain("graph", recipe="vqgraph", data="karate", out=tmp_path / "run", **small)
    book = codebook_of(tmp_path / "run")
    assert book["quantizer.codebook"].shape == (5, 3)
    torch.testing.assert_close(book["quantizer.codebook"].norm(dim=1), torch.ones(5))
    distill = merge(load_recipe("graph", "vqgraph_student"), {"objective": {"run": str(tmp_path / "run")}})
    parts = build(resolve(distill, "graph"))
    batch, view = parts.data.graph, View(parts.data.graph, "clean")
    objective = parts.objective
    cosines = code_cosines(unlabeled.load(tmp_path / "run").encoder(view).tokens, book)
    assert torch.equal(codes_of(objective.teacher.encoder, book, batch)[:, 0], cosines.argmax(1))
    guess = F.normalize(objective.project(parts.encoder.eval()(view).tokens), dim=1) @ book["quantizer.codebook"].T
    torch.testing.assert_close(objective(parts.encoder, [view]).total, assignment_loss(guess, cosines, 4.0).mean())
    assert not any("quantizer" in name for name in objective.state_dict()), "the run's folder has it"
