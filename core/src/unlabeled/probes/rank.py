"""Effective rank of features: RankMe, https://arxiv.org/abs/2210.02885, and LiDAR, https://arxiv.org/abs/2312.04000.

Both are exp of the entropy of a normalized spectrum, from 1 (collapsed) to D. RankMe takes the singular values of the
features. LiDAR takes the eigenvalues of the between-sample scatter, whitened by the scatter of the views of each
sample, so that directions which only augmentations fill do not count. Differs from LiDAR: the paper has n = 1,000
samples and q = 50 views on ImageNet; fewer are the default here, and stand in the spec.

    # N samples, V views of each, D features
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks, Embedded
from unlabeled.errors import above, at_least
from unlabeled.nn.spread import effective_rank


def rankme(z: Tensor, eps: float = 1e-7) -> float:
    """RankMe of ``z[N, D]``: at most min(N, D)."""
    return effective_rank(torch.linalg.svdvals(z.float()), eps).item()


def lidar(z: Tensor, delta: float = 1e-4, eps: float = 1e-8) -> float:
    """LiDAR of ``z[N, V, D]``; the within-sample scatter is divided by N (V - 1) and gets ``delta`` on its diagonal."""
    samples, views, dim = z.shape
    if views < 2 or samples < 2:
        raise ValueError(f"LiDAR needs at least 2 samples with 2 views each, found {samples} with {views}")
    z = z.double()
    center_ND = z.mean(1)
    spread = (z - center_ND[:, None]).flatten(0, 1)
    between_ND = center_ND - center_ND.mean(0)
    within_DD = spread.T @ spread / (samples * (views - 1)) + delta * torch.eye(dim, dtype=z.dtype, device=z.device)
    # with within = L L^T, L^-1 between L^-T has the eigenvalues of the whitened between-sample scatter
    whitened_DN = torch.linalg.solve_triangular(torch.linalg.cholesky(within_DD), between_ND.T, upper=False)
    spectrum = torch.linalg.svdvals(whitened_DN).square()
    return effective_rank(F.pad(spectrum, (0, dim - len(spectrum))), eps).item()  # eps counts in all D directions


class RankMe:
    """Effective rank of the features of train.

    Args:
        eps: added to each share of the spectrum, at least 0; epsilon in the paper.
        samples: most samples used, spread evenly over train (25,600 in the paper).
    """

    def __init__(self, *, eps: float = 1e-7, samples: int = 25600) -> None:
        at_least(0, eps=eps)
        at_least(1, samples=samples)
        self.eps, self.asks = eps, Asks(samples=samples)
        self.spec = f"rankme-v1: singular values of raw features, eps={eps:g}, at most {samples} samples of train"

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        stride = -(-len(train) // self.asks.samples)
        return {"rankme": rankme(train.x[:: max(1, stride)], self.eps)}


class LiDAR:
    """Effective rank of the between-sample scatter, whitened by that of the views. Reads ``train.x[N, V, D]``.

    Args:
        samples: samples of train, at least 2; n in the paper.
        views: augmented views of each sample, at least 2; q in the paper.
        delta: added to the diagonal of the within-sample scatter, above 0.
        eps: added to each share of the spectrum, at least 0; epsilon in the paper.
    """

    def __init__(self, *, samples: int = 500, views: int = 10, delta: float = 1e-4, eps: float = 1e-8) -> None:
        at_least(2, samples=samples, views=views)
        above(0, delta=delta)
        at_least(0, eps=eps)
        self.asks = Asks(samples=samples, views=views)
        self.delta, self.eps = delta, eps
        self.spec = f"lidar-v1: {views} views of at most {samples} samples of train, delta={delta:g}, eps={eps:g}"

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        if train.x.ndim != 3:
            raise ValueError(f"LiDAR needs views of each sample, [N, V, D]; found features of shape {[*train.x.shape]}")
        return {"lidar": lidar(train.x, self.delta, self.eps)}
