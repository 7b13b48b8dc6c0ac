import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier

from unlabeled.contract import Embedded
from unlabeled.probes import knn
from unlabeled.probes.knn import KNN, knn_accuracy, knn_scores


def literal(train_x, train_y, test_x, classes, k, temperature):
    """The protocol's text, one test sample after the other."""
    scores = np.zeros((len(test_x), classes))
    train_x = train_x / np.linalg.norm(train_x, axis=1, keepdims=True)
    for row, x in enumerate(test_x / np.linalg.norm(test_x, axis=1, keepdims=True)):
        similarity = train_x @ x
        for index in np.argsort(-similarity)[:k]:
            scores[row, train_y[index]] += np.exp(similarity[index] / temperature)
    return scores


@pytest.fixture
def points():
    maker = torch.Generator().manual_seed(0)
    x = torch.randn(90, 7, generator=maker, dtype=torch.float64)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    return x[:60], y[:60], x[60:], y[60:]


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.07), (20, 1.0), (60, 0.2)])
def test_scores_are_the_protocols_up_to_a_factor(points, k, temperature):
    train_x, train_y, test_x, _ = points
    ours = knn_scores(train_x, train_y, test_x, classes=3, k=k, temperature=temperature)
    theirs = literal(train_x.numpy(), train_y.numpy(), test_x.numpy(), 3, k, temperature)
    torch.testing.assert_close(
        F.normalize(ours.double(), p=1, dim=1), F.normalize(torch.from_numpy(theirs), p=1, dim=1), rtol=1e-4, atol=1e-6
    )


def test_one_neighbor_is_scikit_learns(points):
    train_x, train_y, test_x, test_y = points
    theirs = KNeighborsClassifier(1, metric="cosine").fit(train_x, train_y).score(test_x, test_y)
    assert knn_accuracy(train_x, train_y, test_x, test_y, k=1) == pytest.approx(theirs)


@pytest.mark.parametrize("k", [3, 7])
def test_even_votes_are_scikit_learns(points, k):
    train_x, train_y, test_x, test_y = points
    two, truth = (train_y > 0).long(), (test_y > 0).long()  # odd k of two classes cannot tie
    theirs = KNeighborsClassifier(k, metric="cosine").fit(train_x, two).score(test_x, truth)
    assert knn_accuracy(train_x, two, test_x, truth, k=k, temperature=1e6) == pytest.approx(theirs)


def test_rows_in_chunks_give_the_same(points, monkeypatch):
    train_x, train_y, test_x, _ = points
    whole = knn_scores(train_x, train_y, test_x, classes=3)
    monkeypatch.setattr(knn, "CHUNK", 7 * len(train_x))
    torch.testing.assert_close(knn_scores(train_x, train_y, test_x, classes=3), whole)


def test_rotation_and_scale_change_nothing(points):
    train_x, train_y, test_x, _ = points
    turn = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    moved = knn_scores(3 * train_x @ turn, train_y, 0.1 * test_x @ turn, classes=3)
    torch.testing.assert_close(moved, knn_scores(train_x, train_y, test_x, classes=3), rtol=1e-4, atol=1e-5)


def test_k_above_the_train_set_is_clipped(points):
    train_x, train_y, test_x, test_y = points
    assert knn_accuracy(train_x, train_y, test_x, test_y, k=999) == knn_accuracy(
        train_x, train_y, test_x, test_y, k=len(train_x)
    )


def test_small_temperature_and_constant_features_stay_finite(points):
    train_x, train_y, test_x, _ = points
    assert knn_scores(train_x, train_y, test_x, classes=3, temperature=1e-4).isfinite().all()
    flat = knn_scores(torch.zeros(9, 4), torch.arange(9) % 3, torch.zeros(2, 4), classes=3)
    torch.testing.assert_close(flat, torch.full((2, 3), 3.0))


def test_unlabeled_samples_are_left_out(points):
    train_x, train_y, test_x, test_y = points
    more_x, more_y = torch.cat([train_x, test_x]), torch.cat([train_y, torch.full_like(test_y, -1)])
    probe = KNN(k=3)
    clean = probe(Embedded(train_x, train_y), Embedded(test_x, test_y))
    assert probe(Embedded(more_x, more_y), Embedded(test_x, test_y)) == clean


@pytest.mark.parametrize(
    ("y", "message"),
    [(None, "has none"), (torch.zeros(60).long(), "found 1 class"), (torch.full((60,), -1), "found 0")],
)
def test_no_task_is_said(points, y, message):
    train_x, _, test_x, test_y = points
    with pytest.raises(ValueError, match=message):
        KNN()(Embedded(train_x, y), Embedded(test_x, test_y))


@pytest.mark.parametrize(("setting", "message"), [({"k": 0}, "k is 0"), ({"temperature": 0.0}, "temperature is 0")])
def test_settings_are_checked(setting, message):
    with pytest.raises(ValueError, match=message):
        KNN(**setting)


def test_online_probes_import_no_scikit_learn():
    import subprocess

    code = "import sys; import unlabeled.probes.knn, unlabeled.probes.rank; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
