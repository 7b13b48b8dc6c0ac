import math

import pytest
import torch

from unlabeled.contract import Embedded
from unlabeled.probes.rank import LiDAR, RankMe, lidar, rankme


@pytest.mark.parametrize(("eps", "golden"), [(1e-7, 25.9452), (1e-5, 25.9682)])
def test_rankme_golden(emb, eps, golden):
    assert rankme(emb, eps) == pytest.approx(golden, abs=1e-4)


def test_lidar_golden(emb):
    assert lidar(emb.view(50, 10, 32), delta=1e-4, eps=1e-8) == pytest.approx(22.43239, rel=1e-5)


def test_rankme_of_known_spectra():
    assert rankme(torch.eye(16)) == pytest.approx(16, rel=1e-4)
    assert rankme(torch.ones(9, 16)) == pytest.approx(1, rel=1e-4)
    two = torch.diag(torch.tensor([3.0, 1.0]))
    assert rankme(two) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)), rel=1e-5)


def test_rotation_and_order_change_no_rank(emb):
    maker = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=maker)).Q
    order = torch.randperm(500, generator=maker)
    assert rankme(7 * emb[order] @ turn) == pytest.approx(rankme(emb), rel=1e-4)
    z = emb.view(50, 10, 32)
    assert lidar(z @ turn) == pytest.approx(lidar(z), rel=1e-4)
    assert lidar(z[torch.randperm(50, generator=maker)][:, torch.randperm(10, generator=maker)]) == pytest.approx(
        lidar(z), rel=1e-6
    )


def literal_lidar(z, delta, eps):
    """The definition: whitening by the inverse square root, eigenvalues, entropy."""
    samples, views, dim = z.shape
    means = z.mean(1)
    between = torch.zeros(dim, dim, dtype=z.dtype)
    within = delta * torch.eye(dim, dtype=z.dtype)
    for n in range(samples):
        between += torch.outer(means[n] - means.mean(0), means[n] - means.mean(0)) / samples
        for v in range(views):
            within += torch.outer(z[n, v] - means[n], z[n, v] - means[n]) / (samples * (views - 1))
    values, axes = torch.linalg.eigh(within)
    root = axes @ torch.diag(values.rsqrt()) @ axes.T
    spectrum = torch.linalg.eigvalsh(root @ between @ root).clamp(min=0)
    p = spectrum / spectrum.sum() + eps
    return math.exp(-(p * p.log()).sum())


@pytest.mark.parametrize("shape", [(20, 3, 6), (4, 5, 12)])
def test_lidar_is_its_definition(shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert lidar(z, 1e-3, 1e-8) == pytest.approx(literal_lidar(z, 1e-3, 1e-8), rel=1e-6)


def test_directions_that_only_views_fill_do_not_count():
    maker = torch.Generator().manual_seed(0)
    signal = torch.randn(200, 1, 4, generator=maker).expand(200, 8, 4) + 0.01 * torch.randn(200, 8, 4, generator=maker)
    nuisance = torch.randn(200, 8, 12, generator=maker)
    z = torch.cat([signal, nuisance], -1)
    assert lidar(z) == pytest.approx(4, abs=0.2)
    assert rankme(z.flatten(0, 1)) > 12


@pytest.mark.parametrize("z", [torch.zeros(5, 3, 4), torch.ones(5, 3, 4), torch.randn(3, 2, 50)])
def test_ranks_stay_finite(z):
    assert 1 <= lidar(z) <= 50
    assert 0.99 <= rankme(z[:, 0]) <= 50


def test_lidar_says_what_it_needs():
    with pytest.raises(ValueError, match="at least 2 samples with 2 views each, found 5 with 1"):
        lidar(torch.randn(5, 1, 3))
    with pytest.raises(ValueError, match=r"needs views of each sample"):
        LiDAR()(Embedded(torch.randn(5, 3)), Embedded(torch.randn(5, 3)))


def test_rankme_takes_samples_evenly_and_no_more(emb):
    side = Embedded(emb)
    assert RankMe(samples=100)(side, side) == {"rankme": rankme(emb[::5])}
    assert RankMe(samples=500)(side, side) == {"rankme": rankme(emb)}


@pytest.mark.parametrize(
    ("make", "setting", "message"),
    [
        (RankMe, {"eps": -1.0}, "eps is -1"),
        (RankMe, {"samples": 0}, "samples is 0"),
        (LiDAR, {"views": 1}, "views is 1"),
        (LiDAR, {"samples": 1}, "samples is 1"),
        (LiDAR, {"delta": 0.0}, "delta is 0"),
    ],
)
def test_settings_are_checked(make, setting, message):
    with pytest.raises(ValueError, match=message):
        make(**setting)
