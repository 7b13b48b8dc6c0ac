"""Moments and correlations of features over the batch of all ranks: what keeps features apart without negatives.

Barlow Twins, https://arxiv.org/abs/2103.03230; VICReg, https://arxiv.org/abs/2105.04906; CCA-SSG,
https://arxiv.org/abs/2106.12484. Gradients averaged over ranks are those of the whole batch.

    # B samples of all ranks, b samples of this rank, D features
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.nn.distributed import all_reduce, union_moments, world

# BatchNorm's 1e-5 is what features have that come from rows of sum 1: with it CCA-SSG has 82.6 on Cora instead of 84
EPS = 1e-12


def standardize(z_bD: Tensor, eps: float = 1e-5) -> Tensor:
    """Each feature at mean 0 and biased deviation 1 over the whole batch: BatchNorm without parameters.

    >>> standardize(torch.tensor([[1.0], [3.0]]))
    tensor([[-1.0000],
            [ 1.0000]])
    """
    if world() == 1 and len(z_bD) > 1 and eps > 0:  # one kernel, which refuses other cases
        return F.batch_norm(z_bD, None, None, training=True, eps=eps)
    mean, variance, _ = union_moments(z_bD)
    return (z_bD - mean) * torch.rsqrt(variance + eps)


def cross_correlation(a_bD: Tensor, b_bD: Tensor) -> Tensor:
    """``[D, D]``: the mean over all B samples of products of standardized features.

    >>> z = standardize(torch.tensor([[1.0, 5.0], [3.0, 1.0]]))
    >>> cross_correlation(z, z)
    tensor([[ 1.0000, -1.0000],
            [-1.0000,  1.0000]])
    """
    return all_reduce(a_bD.T @ b_bD) / (len(a_bD) * world())


def invariance_loss(a_bD: Tensor, b_bD: Tensor) -> Tensor:
    """Minus the trace of the correlation of two standardized views.

    >>> z = standardize(torch.tensor([[1.0, 5.0], [3.0, 1.0]]))
    >>> invariance_loss(z, z)
    tensor(-2.0000)
    """
    return -cross_correlation(a_bD, b_bD).diagonal().sum()


def decorrelation_loss(z_bD: Tensor) -> Tensor:
    """Squared distance of a standardized view's correlation from the identity.

    >>> decorrelation_loss(standardize(torch.tensor([[1.0, 5.0], [3.0, 1.0]])))
    tensor(2.0000)
    """
    correlation = cross_correlation(z_bD, z_bD)
    return (correlation - torch.eye(len(correlation), dtype=z_bD.dtype, device=z_bD.device)).square().sum()


def variance_and_covariance(z_bD: Tensor, eps: float = 1e-4) -> tuple[Tensor, Tensor]:
    """The hinge of each deviation below 1, averaged; and the squared covariances off the diagonal, summed over D.

    >>> variance_and_covariance(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    (tensor(0.4950), tensor(0.))
    """
    if len(z_bD) * world() < 2:
        raise ValueError(f"variance and covariance are of at least 2 samples; found {len(z_bD)}")
    mean, biased, count = union_moments(z_bD)
    deviation_D = torch.sqrt(biased * count / (count - 1) + eps)
    centered = z_bD - mean
    covariance_DD = all_reduce(centered.T @ centered) / (count - 1)
    off = covariance_DD.square().sum() - covariance_DD.diagonal().square().sum()
    return F.relu(1.0 - deviation_D).mean(), off / z_bD.shape[1]
