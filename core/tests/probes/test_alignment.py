import math

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Embedded
from unlabeled.nn.spread import sphere_deviation
from unlabeled.probes import alignment as module
from unlabeled.probes.alignment import Alignment, Deviation, alignment, uniformity


@pytest.fixture
def z():
    return torch.randn(30, 3, 8, generator=torch.Generator().manual_seed(0))


def test_the_papers_code_on_two_views(z):
    x, y = F.normalize(z[:, 0], dim=1), F.normalize(z[:, 1], dim=1)
    assert alignment(z[:, :2]) == pytest.approx((x - y).norm(p=2, dim=1).pow(2).mean().item(), rel=1e-5)
    assert uniformity(z[:, 0]) == pytest.approx(torch.pdist(x).pow(2).mul(-2).exp().mean().log().item(), rel=1e-5)


def test_more_views_are_the_mean_of_their_pairs(z):
    pairs = [alignment(z[:, list(pair)]) for pair in ((0, 1), (0, 2), (1, 2))]
    assert alignment(z) == pytest.approx(sum(pairs) / 3, rel=1e-6)


def test_uniformity_in_chunks(z, monkeypatch):
    whole = uniformity(z[:, 0])
    monkeypatch.setattr(module, "CHUNK", 70)
    assert uniformity(z[:, 0]) == pytest.approx(whole, rel=1e-9)


def test_extremes():
    same = torch.ones(6, 2, 5)
    assert alignment(same) == 0
    assert uniformity(same[:, 0]) == pytest.approx(0, abs=1e-9)
    poles = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert uniformity(poles) == pytest.approx(-8)
    assert alignment(poles[None]) == pytest.approx(4)
    assert math.isfinite(uniformity(torch.zeros(4, 3)))


def test_probes_give_their_numbers(z):
    side = Embedded(z)
    found = Alignment()(side, side)
    assert found["alignment"] == alignment(z)
    assert found["uniformity"] == pytest.approx(sum(uniformity(z[:, v]) for v in range(3)) / 3)
    flat = Embedded(z[:, 0])
    assert Deviation()(flat, flat) == {"deviation": sphere_deviation(z[:, 0]).item()}


def test_what_is_missing_is_said(z):
    with pytest.raises(ValueError, match="needs views of each sample"):
        Alignment()(Embedded(z[:, 0]), Embedded(z[:, 0]))
    with pytest.raises(ValueError, match="at least 2 views of each sample, found 1"):
        alignment(z[:, :1])
    with pytest.raises(ValueError, match="at least 2 samples, found 1"):
        uniformity(z[:1, 0])


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"alpha": 0.0}, "alpha is 0"), ({"t": -1.0}, "^t is"), ({"views": 1}, "views is 1"), ({"samples": 0}, "samples")],
)
def test_settings_are_checked(setting, message):
    with pytest.raises(ValueError, match=message):
        Alignment(**setting)
