"""Probes of text, on features whose right answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse, stats

from unlabeled.contract import Features, Layout, View
from unlabeled.probes.frozen import Frozen
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.ops.layouts import layout_of
from unlabeled_text.probes import pairs, reading
from unlabeled_text.probes.classification import Classification, MultipleChoice, Tagging, fit_choice, word_starts


class Data:
    """N samples of three tokens; whatever a probe asks for is an attribute."""

    spec = TextSpec(4)
    labels = test = pairs = scores = pair_labels = pair_test = links = choices = tags = None
    classes = ()

    def __init__(self, count, **known):
        self.count = count
        vars(self).update(known)

    def __len__(self):
        return self.count

    def __getitems__(self, ids):
        starts = torch.ones(3 * len(ids), dtype=torch.bool)
        return TextBatch(torch.tensor(list(ids)), torch.zeros(3 * len(ids), dtype=torch.int64), (3,) * len(ids), starts)


class Table(torch.nn.Module):
    """An encoder that looks its features up: ``x[N, D]``, and ``words[N, 3, D]``."""

    def __init__(self, x, words=None):
        super().__init__()
        self.x, self.words = x, words

    def forward(self, view, **_):
        ids = view.batch.ids
        tokens = (self.words[ids] if self.words is not None else self.x[ids, None].expand(-1, 3, -1)).flatten(0, 1)
        return Features(tokens, Layout((3,) * len(ids), torch.zeros(3 * len(ids), 1)), self.x[ids])


class Clean:
    roles, params = ("clean",), ()

    def __call__(self, batch, draw):
        return [View(batch, "clean")]


def frozen(data, x, words=None, train=None):
    ids = torch.arange(len(data))
    train = torch.arange(len(data) // 2) if train is None else train
    return Frozen(Table(x, words), "pre-trained", data, Clean(), train, ids[~torch.isin(ids, train)])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_sts_is_the_rank_correlation_of_held_out_pairs():
    x = random(40, 5)
    chosen, scores = torch.randint(0, 40, (30, 2), generator=torch.Generator().manual_seed(1)), random(30, seed=2)
    scores[3] = float("nan")
    held = torch.arange(30) % 2 == 1
    data = Data(40, pairs=chosen, scores=scores, pair_test=held)
    kept = held & ~scores.isnan()
    cosine = torch.cosine_similarity(x[chosen[kept, 0]], x[chosen[kept, 1]])
    probe = pairs.STS()
    assert probe.applies(data)
    assert not probe.applies(Data(4))
    found = probe(frozen(data, x))["spearman"]
    assert found == pytest.approx(stats.spearmanr(cosine, scores[kept]).statistic, abs=1e-6)
    assert probe(frozen(data, torch.ones(40, 5)))["spearman"] == 0.0
    assert probe.chance(frozen(data, x)) == {"spearman": 0.0}


def test_sts_equals_sentence_transformers():
    evaluation = pytest.importorskip("sentence_transformers.sentence_transformer.evaluation", reason="an extra")
    x, scores = random(40, 5), random(20, seed=2)
    chosen = torch.arange(40).reshape(20, 2)
    names = [str(i) for i in range(40)]

    class Model:
        similarity_fn_name, model_card_data = "cosine", SimpleNamespace(set_evaluation_metrics=lambda *a, **k: None)

        def encode(self, texts, **_):
            return x[[int(t) for t in texts]].numpy()

        encode_query = encode_document = encode

    first, second = ([names[i] for i in side.tolist()] for side in chosen.T)
    theirs = evaluation.EmbeddingSimilarityEvaluator(first, second, scores.tolist(), main_similarity="cosine")
    found = theirs.compute_metrices(Model()) if hasattr(theirs, "compute_metrices") else theirs(Model())
    ours = pairs.STS()(frozen(Data(40, pairs=chosen, scores=scores), x))["spearman"]
    assert ours == pytest.approx(found["spearman_cosine"], abs=1e-6)


def test_sparse_and_dense_features_give_the_same_cosines():
    a, b = random(6, 4).numpy(), random(6, 4, seed=1).numpy()
    a[2] = 0
    np.testing.assert_allclose(
        reading.cosines(sparse.csr_matrix(a), sparse.csr_matrix(b)), reading.cosines(a, b), atol=1e-6
    )
    assert reading.cosines(a, b)[2] == 0
    both = pairs.joined(sparse.csr_matrix(a), sparse.csr_matrix(b)).toarray()
    np.testing.assert_allclose(both, pairs.joined(a, b), atol=1e-6)


def test_pair_classification_learns_which_pairs_are_alike():
    x = random(120, 4)
    order = torch.arange(60)
    same = order % 2 == 0
    x[60:][same] = x[:60][same] + 0.05 * random(int(same.sum()), 4, seed=3)
    data = Data(120, pairs=torch.stack((order, order + 60), 1), pair_labels=same.long())
    probe = pairs.PairClassification()
    assert probe.applies(data)
    assert not probe.applies(Data(4, pair_labels=torch.tensor([1, 1, -1])))
    found, guess = probe(frozen(data, x)), probe.chance(frozen(data, x))
    assert found["accuracy"] > 0.9
    assert found["average_precision"] > 0.95
    assert guess["accuracy"] < 0.7
    shuffled = probe(frozen(data, random(120, 4, seed=9)))
    assert shuffled["accuracy"] < found["accuracy"]


def test_ranks_count_ties_half_and_leave_the_query_out():
    x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]], dtype=np.float32)
    assert pairs.ranks(x, np.array([0, 0]), np.array([1, 2])).tolist() == [1.0, 3.0]
    # three others, all alike: the answer stands in their middle
    assert pairs.ranks(np.ones((4, 2), dtype=np.float32), np.array([0]), np.array([2])).tolist() == [2.0]
    assert pairs.ranks(sparse.csr_matrix(x), np.array([0]), np.array([2])).tolist() == [3.0]


def test_retrieval_finds_links_and_like_pairs():
    x = random(50, 8)
    x[25:] = x[:25] + 0.01 * random(25, 8, seed=1)
    links = torch.stack((torch.arange(25), torch.arange(25) + 25), 1)
    assert pairs.Retrieval()(frozen(Data(50, links=links), x)) == {"recall@10": 1.0, "mrr": 1.0}
    scores = torch.linspace(0, 5, 25)
    data = Data(50, pairs=links, scores=scores)
    query, answer = pairs.targets(data, 0.8)
    assert torch.equal(query, torch.arange(25)[scores >= 4])
    assert torch.equal(answer, query + 25)
    guess = pairs.Retrieval().chance(frozen(data, x))
    assert guess["recall@10"] == pytest.approx(10 / 49)
    with pytest.raises(ValueError, match="high is 2"):
        pairs.Retrieval(high=2.0)


def test_classification_reads_dense_and_sparse_features():
    x, y = random(80, 6), torch.arange(80) % 2
    x[:, 0] += 4 * y
    data = Data(80, labels=y)
    assert Classification()(frozen(data, x))["accuracy"] > 0.9
    assert Classification().chance(frozen(data, x))["accuracy"] == 0.5
    whole = frozen(data, x)
    rows = sparse.csr_matrix(x.numpy())
    bag = SimpleNamespace(sparse=lambda ids: rows[ids.numpy()])
    assert Classification()(Frozen(bag, "no model", data, Clean(), whole.train, whole.test))["accuracy"] > 0.9


def test_tagging_reads_the_first_token_of_each_word():
    words, tags = random(30, 3, 4), torch.randint(0, 2, (30, 3), generator=torch.Generator().manual_seed(1))
    words[..., 0] += 5 * tags
    tags[3, 1] = -1
    data = Data(30, tags=[row.numpy() for row in tags])
    probe = Tagging()
    assert probe.applies(data)
    assert "no model" not in probe.asks.kinds
    assert probe(frozen(data, words.mean(1), words))["accuracy"] > 0.9
    assert probe.chance(frozen(data, words.mean(1)))["accuracy"] < 0.8


def test_an_unknown_word_keeps_its_own_tag():
    """[CLS] the [UNK] cat cut [SEP]: what comes after the unknown word is not given its tag."""
    spec = TextSpec(12, prefix=(1,), suffix=(2,), pad=0, unknown=3)
    tokens, starts = torch.tensor([1, 7, 3, 8, 9, 2, 1, 5, 2]), torch.ones(9, dtype=torch.bool)
    starts[4] = False  # the second half of a word
    batch = TextBatch(torch.arange(2), tokens, (6, 3), starts)
    assert word_starts(batch, layout_of(batch, spec), spec).tolist() == [1, 2, 3, 7]


def test_multiple_choice_learns_a_scorer():
    x, answers = random(200, 5), torch.arange(50) % 4
    choices = torch.arange(200).reshape(50, 4)
    x[choices[torch.arange(50), answers], 2] += 4
    data = Data(200, choices=choices, answers=answers)
    probe = MultipleChoice()
    assert probe.applies(data)
    assert probe(frozen(data, x))["accuracy"] == 1.0
    assert probe.chance(frozen(data, x)) == {"accuracy": 0.25}
    assert probe(frozen(data, random(200, 5, seed=4)))["accuracy"] < 0.8


def test_questions_of_val_are_in_neither_side():
    data = Data(24, choices=torch.arange(24).reshape(6, 4), answers=torch.zeros(6), val=torch.arange(24) < 8)
    train, test = MultipleChoice()._sides(data, 0)
    assert sorted((*train.tolist(), *test.tolist())) == [2, 3, 4, 5]
    data.choice_test = torch.arange(6) > 4
    assert [side.tolist() for side in MultipleChoice()._sides(data, 0)] == [[2, 3, 4], [5]]


def test_fit_choice_is_the_minimum():
    x, answer = random(40, 3, 2), torch.arange(40) % 3
    best = fit_choice(x, answer, 0.1).requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ best, answer) + 0.05 * best.square().sum()
    (gradient,) = torch.autograd.grad(loss, best)
    assert gradient.abs().max() < 1e-4


def test_the_split_of_pairs_is_the_datas_or_a_fifth():
    known = torch.ones(20, dtype=torch.bool)
    held = torch.arange(20) < 4
    train, test = reading.pair_sides(Data(4, pair_test=held), 0, known)
    assert test.tolist() == [0, 1, 2, 3]
    train, test = reading.pair_sides(Data(4), 0, known)
    assert len(test) == 4
    assert sorted((*train.tolist(), *test.tolist())) == list(range(20))
    assert test.tolist() != reading.pair_sides(Data(4), 1, known)[1].tolist()
