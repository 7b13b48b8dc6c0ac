"""Spread of features and codes: near the least of each of these, they have collapsed.

# N rows, D features, H frames, G codebooks, V entries of each, K prototypes
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.nn.distributed import all_reduce, gather
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full


def effective_rank(spectrum_K: Tensor, eps: float = 0.0) -> Tensor:
    """exp of the entropy of ``spectrum >= 0``, normalized to sum 1, plus eps: 1 (one direction, or none) to K.

    >>> effective_rank(torch.tensor([2.0, 2.0, 0.0]))
    tensor(2.)
    """
    least = torch.finfo(spectrum_K.dtype).tiny
    p = spectrum_K / spectrum_K.sum().clamp(min=least) + eps
    return (-(p * p.clamp(min=least).log()).sum()).exp()


def singular_values(x_ND: Tensor) -> Tensor:
    """``[K]`` of ``x[N, D]``, ascending, from the smaller of its Gram matrices: fast, where half the digits will do.

    >>> singular_values(torch.diag(torch.tensor([3.0, 4.0])))
    tensor([3., 4.])
    """
    gram = x_ND @ x_ND.T if x_ND.shape[0] <= x_ND.shape[1] else x_ND.T @ x_ND
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()


def koleo(x_bD: Tensor, eps: float = 1e-8) -> Tensor:
    """Minus the mean log distance of unit vectors from the nearest other of all ranks (https://arxiv.org/abs/1806.03198).

    >>> koleo(torch.eye(3))
    tensor(-0.3466)
    """
    keys = gather(x_bD)
    with torch.no_grad():
        similarity = (x_bD @ keys.T).scatter(1, own_rows(x_bD)[:, None], -torch.inf)
        nearest = similarity.argmax(1)
    return -(torch.linalg.vector_norm(x_bD - keys[nearest], dim=1) + eps).log().mean()


@torch.no_grad()
def deviation(x_ND: Tensor) -> Tensor:
    """Mean over features of their standard deviation over rows, 0 without rows: near 0, targets have collapsed.

    >>> deviation(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    tensor(0.5000)
    """
    # spelled out, since torch's own warns about no rows
    x, rows = full(x_ND), max(1, len(x_ND))
    return ((x - x.sum(0) / rows).square().sum(0) / rows).sqrt().mean()


def sphere_deviation(x_ND: Tensor) -> Tensor:
    """Mean over features of the deviation of L2-normalized rows, times sqrt(D): 0 a point, 1 even on a sphere.

    >>> sphere_deviation(torch.cat((torch.eye(4), -torch.eye(4))))
    tensor(1.)
    """
    return F.normalize(x_ND, dim=1).std(0, correction=0).mean() * math.sqrt(x_ND.shape[1])


@torch.no_grad()
def _counts(ids_HG: Tensor, entries: int) -> Tensor:
    """``float32[G, V]``; not by ``bincount``, which an accelerator waits for."""
    none = ids_HG.new_zeros(ids_HG.shape[1], entries, dtype=torch.float32)
    return none.scatter_add_(1, ids_HG.T, torch.ones_like(ids_HG.T, dtype=torch.float32))


def usage_perplexity(ids_HG: Tensor, entries: int) -> Tensor:
    """exp of the entropy of how often each entry occurs, over all ranks, 1 (one alone) to V; mean over codebooks.

    Args:
        ids_HG: integers in [0, V), also ``[H]`` of one codebook.
        entries: V.

    >>> usage_perplexity(torch.tensor([0, 0, 3, 3]), 4)
    tensor(2.)
    """
    columns = ids_HG.reshape(len(ids_HG), ids_HG.shape[1:].numel())  # not -1: there may be no rows
    counts = all_reduce(_counts(columns, entries))
    p = counts / counts.sum(1, keepdim=True).clamp(min=1)
    return torch.exp(-torch.special.xlogy(p, p).sum(1)).mean()


def union_perplexity(p_HGV: Tensor) -> Tensor:
    """exp of the entropy of the mean over the frames of all ranks, summed over codebooks: G (collapsed) to G V.

    >>> union_perplexity(torch.eye(4)[:, None])
    tensor(4.)
    """
    total, count = p_HGV.sum(0), p_HGV.new_full((), float(len(p_HGV)))
    mean = all_reduce(total) / all_reduce(count).clamp(min=1)
    return torch.exp(-torch.special.xlogy(mean, mean).sum(-1)).sum()


def information_perplexity(codes: Sequence[Tensor]) -> Tensor:
    """How many groups of samples soft codes tell apart: 1 (all samples alike) to K.

    exp of the information of a code about its sample. The entropy of the mean code, which is often shown, says
    nothing where Sinkhorn holds it at ln K.

    Args:
        codes: each ``[B, K]``, rows summing to 1.

    >>> information_perplexity([torch.eye(4)[[0, 0, 1, 1]]])
    tensor(2.)
    """
    rows = torch.cat(list(codes))
    mean = rows.mean(0)
    return torch.exp(torch.special.xlogy(rows, rows).sum(1).mean() - torch.special.xlogy(mean, mean).sum())
