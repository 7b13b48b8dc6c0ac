import pytest
import torch

from unlabeled.contract import Embedded
from unlabeled.probes.clustering import KMeans


@pytest.fixture
def sides():
    maker = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 4
    x = 4 * torch.eye(4, 6)[y] + 0.2 * torch.randn(120, 6, generator=maker)
    return Embedded(x[:80], y[:80]), Embedded(x[80:], y[80:])


def test_clear_clusters_are_found(sides):
    assert KMeans()(*sides) == {"nmi": pytest.approx(1), "ari": pytest.approx(1)}


def test_labels_of_train_are_not_used(sides):
    train, test = sides
    assert KMeans()(Embedded(train.x, train.y.flip(0).roll(1)), test) == KMeans()(train, test)


def test_noise_has_no_clusters():
    maker = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 6, generator=maker), torch.arange(300) % 3
    found = KMeans()(Embedded(x, y), Embedded(x, y))
    assert abs(found["ari"]) < 0.05
    assert found["nmi"] < 0.1
    assert KMeans()(Embedded(x, y), Embedded(x, y)) == found


def test_collapsed_features_score_zero():
    y = torch.arange(20) % 2
    side = Embedded(torch.ones(20, 3), y)
    assert KMeans(restarts=1)(side, side) == {"nmi": 0, "ari": 0}


def test_settings_are_checked():
    with pytest.raises(ValueError, match="restarts is 0"):
        KMeans(restarts=0)
