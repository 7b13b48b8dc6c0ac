"""The area under the ROC curve, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from unlabeled.contract import Embedded
from unlabeled_medical3d.probes.auc import VolumeAUC, auc, mean_auc


def test_equals_scikit_learn_with_ties():
    torch.manual_seed(0)
    scores, positive = torch.randn(200).round(decimals=1), torch.rand(200) > 0.7
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_many_classes_are_one_against_the_rest():
    torch.manual_seed(0)
    logits, y = torch.randn(90, 3), torch.arange(90) % 3
    expected = roc_auc_score(y, logits.softmax(1), multi_class="ovr")
    assert mean_auc(logits, y) == pytest.approx(expected, abs=1e-9)


def test_the_probe_finds_what_is_linear_and_nothing_in_noise():
    torch.manual_seed(0)
    y = torch.arange(240) % 2
    noise = torch.randn(240, 8)
    clear = noise.clone()
    clear[:, 0] += 3.0 * y
    probe, found = VolumeAUC(), []
    for x in (noise, clear):
        found.append(probe(Embedded(x[:160], y[:160]), Embedded(x[160:], y[160:]))["auc"])
    assert 0.3 < found[0] < 0.7
    assert found[1] > 0.95


def test_one_side_is_refused():
    with pytest.raises(ValueError, match="both sides"):
        auc(torch.zeros(3), torch.ones(3, dtype=torch.bool))
