"""Alignment and uniformity on the sphere, https://arxiv.org/abs/2005.10242, and the deviation of each dimension.

Alignment is the mean distance, to the power alpha, between views of one sample (0 = views agree). Uniformity is the
log of the mean Gaussian potential between samples (0 = all in one place, lower = more spread). Differs: alignment is
over all pairs of V views, uniformity is the mean over views; the paper has two views.

    # N samples, V views of each, D features
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks, Embedded
from unlabeled.errors import above, at_least
from unlabeled.nn.spread import sphere_deviation

CHUNK = 1 << 24  # distances held at once


def alignment(z: Tensor, alpha: float = 2.0) -> float:
    """Mean distance ** alpha over all pairs of views of ``z[N, V, D]``, normalized."""
    if z.shape[1] < 2:
        raise ValueError(f"alignment needs at least 2 views of each sample, found {z.shape[1]}")
    z = F.normalize(z.double(), dim=-1)
    first, second = torch.triu_indices(z.shape[1], z.shape[1], 1, device=z.device)
    return (z[:, first] - z[:, second]).norm(dim=-1).pow(alpha).mean().item()


def uniformity(z: Tensor, t: float = 2.0) -> float:
    """log of the mean of exp(-t distance^2) over all pairs of distinct samples of ``z[N, D]``, normalized."""
    count = len(z)
    if count < 2:
        raise ValueError(f"uniformity needs at least 2 samples, found {count}")
    z = F.normalize(z.double(), dim=1)
    square = z.square().sum(1)
    total = 0.0
    for start in range(0, count, max(1, CHUNK // count)):
        part = slice(start, start + max(1, CHUNK // count))
        distance = (square[part, None] + square[None] - 2 * z[part] @ z.T).clamp(min=0)
        distance[torch.arange(len(distance)), torch.arange(start, start + len(distance))] = 0
        total += (-t * distance).exp().sum().item()
    return math.log((total - count) / (count * (count - 1)))  # each sample met itself once, at distance 0


class Alignment:
    """Alignment and uniformity of views. Reads ``train.x[N, V, D]``.

    Args:
        alpha: power of the distance between views, above 0.
        t: sharpness of the potential between samples, above 0.
        samples: samples of train, at least 2.
        views: augmented views of each sample, at least 2.
    """

    def __init__(self, *, alpha: float = 2.0, t: float = 2.0, samples: int = 500, views: int = 10) -> None:
        above(0, alpha=alpha, t=t)
        at_least(2, samples=samples, views=views)
        self.alpha, self.t = alpha, t
        self.asks = Asks(samples=samples, views=views)
        self.spec = f"alignment-v1: alpha={alpha:g}, t={t:g}, {views} views of at most {samples} samples of train"

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        if train.x.ndim != 3:
            raise ValueError(
                f"alignment needs views of each sample, [N, V, D]; found features of shape {[*train.x.shape]}"
            )
        spread = [uniformity(view, self.t) for view in train.x.unbind(1)]
        return {"alignment": alignment(train.x, self.alpha), "uniformity": sum(spread) / len(spread)}


class Deviation:
    """Deviation of each dimension of the normalized features of train, as watched during training."""

    asks = Asks()
    spec = "deviation-v1: mean over dimensions of the deviation of L2-normalized features, times sqrt(D)"

    def __init__(self) -> None:
        pass

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        return {"deviation": sphere_deviation(train.x.float()).item()}
