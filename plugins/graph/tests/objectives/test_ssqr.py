"""SSQR: facts of a knowledge graph are read, told apart by their relation, and found again from codes alone."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Progress, View
from unlabeled.errors import UsageError
from unlabeled_graph.batch import facts_of
from unlabeled_graph.data.files import files
from unlabeled_graph.encoders.layers import CompGCN
from unlabeled_graph.objectives.ssqr import SSQR, questions
from unlabeled_graph.ops.sparse import dense

FACTS = "ann\tknows\tbob\nann\temploys\tbob\nbob\tknows\tcid\nann\tknows\tcid\nann\tknows\tbob\n"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "train.txt").write_text(FACTS)
    (tmp_path / "test.txt").write_text("cid\temploys\tdan\n")
    return files(str(tmp_path), 0.0)


def facts(data):
    """The facts and inverse facts of the graph by name."""
    edge, kind = facts_of(data.graph)
    names, relations = data.names, ("knows", "employs", "known by", "employed by")
    ends = data.graph.edges[:, edge].T.tolist()
    return {(names[h], relations[r], names[t]) for (h, t), r in zip(ends, kind.tolist(), strict=True)}


def test_two_relations_of_one_pair_are_two_facts(data):
    forward = {("ann", "knows", "bob"), ("ann", "employs", "bob"), ("bob", "knows", "cid"), ("ann", "knows", "cid")}
    inverse = {(t, {"knows": "known by", "employs": "employed by"}[r], h) for h, r, t in forward}
    assert facts(data) == forward | inverse, "no fact in reverse under its own relation, none of the test"
    assert data.names == ("ann", "bob", "cid", "dan")
    assert "4 facts of 2 relations" in data.describe()
    assert "1 facts of test left out of the graph" in data.describe()
    assert data.spec.edge_features == 4


def test_a_line_that_is_no_fact_is_named(tmp_path):
    path = tmp_path / "facts.txt"
    path.write_text("a\tr\tb\na r c\n")
    with pytest.raises(UsageError, match=r"line 2 has 1 columns; a fact is head, relation, tail by tabs"):
        files(str(path), 0.0)
    path.write_text("plain words\n")
    with pytest.raises(UsageError, match="of no form that is known here"):
        files(str(path), 0.0)


def test_the_encoder_reads_which_relation_holds(data):
    torch.manual_seed(0)
    encoder, view = CompGCN(data.spec, width=5, depth=1, last=False), View(data.graph, "clean")
    conv, x = encoder.convs[0], dense(data.graph.x)
    ann, bob, cid = 0, 1, 2
    around = x[ann] * conv.relation[0] + x[ann] * conv.relation[1] + x[cid] * conv.relation[2]
    expected = conv.neighbors(around / 3) + conv.own(x[bob] * conv.loop)
    torch.testing.assert_close(encoder(view).tokens[bob], expected)
    other = data.graph.altered(edge_attr=data.graph.edge_attr.flip(1))
    assert not torch.allclose(encoder(View(other, "clean")).tokens[bob], expected)


def test_questions_have_all_their_true_tails():
    head, kind, tail = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 0]), torch.tensor([1, 2, 1, 2])
    found = questions(head, kind, tail, torch.arange(4), 4, 10)
    assert {(h, r, *t) for h, r, t in zip(*(each.tolist() for each in found), strict=True)} == {
        (0, 0, False, True, True, False),
        (0, 1, False, True, False, False),
        (1, 0, False, False, True, False),
    }
    assert len(questions(head, kind, tail, torch.arange(4), 4, 2)[0]) == 2


def test_the_loss_finds_all_tails_from_codes_alone(data):
    torch.manual_seed(0)
    encoder, view = CompGCN(data.spec, width=6), View(data.graph, "global")
    objective = SSQR(encoder, 4, codes=3, slots=2, code_dim=2)
    objective.bias.data.fill_(0.5)
    loss = objective(encoder, [view])
    parts = objective.enter(encoder(view).tokens).view(8, 2)
    book = objective.quantizer.codebook
    code = book[(F.normalize(parts, dim=1) @ book.T).argmax(1)].view(4, 4)
    entity = objective.entity(code)
    edge, kind = facts_of(data.graph)
    known = {(h, r, t) for (h, t), r in zip(data.graph.edges[:, edge].T.tolist(), kind.tolist(), strict=True)}
    rows = [
        F.binary_cross_entropy_with_logits(
            torch.stack([(entity[h] * objective.relation[r] * entity[t]).sum() + 0.5 - math.log(4) for t in range(4)]),
            torch.tensor([float((h, r, t) in known) for t in range(4)]),
        )
        for h, r in {(h, r) for h, r, _ in known}
    ]
    torch.testing.assert_close(loss.parts["triples"], torch.stack(rows).mean().detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss.total.detach(), loss.parts["triples"] + loss.parts["quantization"])
    with pytest.raises(UsageError, match="relations is 3, and edges have 4"):
        SSQR(encoder, 4, relations=3)


def test_an_entity_is_drawn_to_its_text_and_the_codebook_follows(data, tmp_path):
    torch.manual_seed(0)
    texts = torch.randn(4, 3)
    np.savez(tmp_path / "texts.npz", embeddings=texts.numpy())
    encoder, view = CompGCN(data.spec, width=6), View(data.graph, "global")
    sizes = {"codes": 3, "slots": 2, "code_dim": 2, "texts": str(tmp_path / "texts.npz"), "text_weight": 0.4}
    objective = SSQR(encoder, 4, **sizes)
    before, entity = objective.quantizer.codebook.clone(), []
    objective.entity.register_forward_hook(lambda *parts: entity.append(parts[2]))
    found = objective(encoder, [view])
    text = (1 - F.cosine_similarity(objective.align(entity[0]), texts)).mean()
    triples, quantization = found.parts["triples"], found.parts["quantization"]
    torch.testing.assert_close(found.total, triples + quantization + 0.4 * text)
    objective.after_step(encoder, Progress(1, 10))
    assert not torch.equal(objective.quantizer.codebook, before)
