import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn import metrics

from unlabeled.probes.scores import class_chance, classification, confusion, details, of_tasks, per_class


@pytest.fixture
def guesses():
    maker = torch.Generator().manual_seed(0)
    return torch.randint(5, (200,), generator=maker), torch.randint(1, 6, (200,), generator=maker)


def test_of_classes_as_scikit_learn(guesses):
    guess, truth = guesses
    found = classification(guess, truth)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, guess, average="macro"))
    counts = confusion(guess, truth, 6)
    assert np.array_equal(counts, metrics.confusion_matrix(truth, guess, labels=range(6)))
    theirs = metrics.precision_recall_fscore_support(truth, guess, labels=range(6), zero_division=0)
    for value, reference in zip(per_class(counts).values(), theirs, strict=True):
        assert np.allclose(value, reference)


def test_details_name_each_class(guesses):
    found = details(*guesses, ("a", "b", "c", "d", "e", "f"))
    assert [row["class"] for row in found["per_class"]] == list("abcdef")
    assert np.sum(found["confusion"]) == 200
    assert "confusion" not in details(torch.arange(101), torch.arange(101), ())


def test_chance_of_equal_classes_is_one_over_them():
    """Whatever classes test has more of: a held-out part of equal classes has fewer of those that train has more of."""
    assert class_chance(torch.arange(40) % 4, torch.tensor([0, 0, 0, 1]))["accuracy"] == 0.25
    assert class_chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1, 1]))["accuracy"] == 0.5
    assert class_chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 1]))["accuracy"] == 0.75
    assert class_chance(torch.arange(40) % 4, torch.arange(8) % 4)["macro_f1"] == pytest.approx(0.25)


def test_numbers_as_scikit_learn_and_scipy():
    maker = torch.Generator().manual_seed(1)
    truth = torch.randn(80, 2, generator=maker)
    guess = truth + torch.randn(80, 2, generator=maker)
    truth[::3, 1] = torch.nan
    found = of_tasks(guess, truth, "regression", ("a", "b"))
    known = ~truth[:, 1].isnan()
    for name, g, t in (("a", guess[:, 0], truth[:, 0]), ("b", guess[known, 1], truth[known, 1])):
        assert found[f"rmse:{name}"] == pytest.approx(metrics.root_mean_squared_error(t, g), rel=1e-5)
        assert found[f"mae:{name}"] == pytest.approx(metrics.mean_absolute_error(t, g), rel=1e-5)
        assert found[f"r2:{name}"] == pytest.approx(metrics.r2_score(t, g), rel=1e-4)
        assert found[f"spearman:{name}"] == pytest.approx(spearmanr(g, t).statistic)
    assert found["r2"] == pytest.approx((found["r2:a"] + found["r2:b"]) / 2)


def test_labels_as_scikit_learn_with_unknown_ones_and_a_task_that_test_cannot_tell():
    maker = torch.Generator().manual_seed(2)
    truth = (torch.rand(60, 3, generator=maker) > 0.6).float()
    score = truth + torch.randn(60, 3, generator=maker)
    truth[:20, 1], truth[:, 2] = torch.nan, 1.0
    found = of_tasks(score, truth, "multilabel", ("a", "b", "c"))
    assert found["auc:b"] == pytest.approx(metrics.roc_auc_score(truth[20:, 1], score[20:, 1]))
    assert found["map:b"] == pytest.approx(metrics.average_precision_score(truth[20:, 1], score[20:, 1]))
    assert "auc:c" not in found
    assert found["auc"] == pytest.approx((found["auc:a"] + found["auc:b"]) / 2)
    assert set(of_tasks(score[:, :1], truth[:, :1], "multilabel", ("a",))) == {"auc", "map"}
