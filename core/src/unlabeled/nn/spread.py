"""How spread features and codes are: near the least of each of these, they have collapsed.

# N rows, D features, H frames, G codebooks, V entries of each, K prototypes
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unlabeled.nn.distributed import all_reduce
from unlabeled.nn.precision import full


@torch.no_grad()
def deviation(x_ND: Tensor) -> Tensor:
    """Mean over features of their standard deviation over rows, 0 without rows: near 0, targets have collapsed."""
    # spelled out, since torch's own warns about no rows
    x, rows = full(x_ND), max(1, len(x_ND))
    return ((x - x.sum(0) / rows).square().sum(0) / rows).sqrt().mean()


@torch.no_grad()
def usage_perplexity(ids_HG: Tensor, entries: int) -> Tensor:
    """exp of the entropy of how often each entry occurs, over all ranks, 1 (one alone) to V; mean over codebooks.

    Args:
        ids_HG: integers in [0, V), also ``[H]`` of one codebook.
        entries: V.
    """
    columns = ids_HG.reshape(len(ids_HG), -1)
    counts = all_reduce(torch.stack([torch.bincount(c, minlength=entries) for c in columns.T]).float())
    p = counts / counts.sum(1, keepdim=True).clamp(min=1)
    return torch.exp(-torch.special.xlogy(p, p).sum(1)).mean()


def union_perplexity(p_HGV: Tensor) -> Tensor:
    """exp of the entropy of the mean over the frames of all ranks, summed over codebooks: G (collapsed) to G V."""
    total, count = p_HGV.sum(0), p_HGV.new_tensor(float(len(p_HGV)))
    mean = all_reduce(total) / all_reduce(count).clamp(min=1)
    return torch.exp(-torch.special.xlogy(mean, mean).sum(-1)).sum()


def information_perplexity(codes: Sequence[Tensor]) -> Tensor:
    """How many groups of samples soft codes tell apart: 1 (all samples alike) to K.

    exp of the information of a code about its sample. The entropy of the mean code, which is often shown, says
    nothing where Sinkhorn holds it at ln K.

    Args:
        codes: each ``[B, K]``, rows summing to 1.
    """
    rows = torch.cat(list(codes))
    mean = rows.mean(0)
    return torch.exp(torch.special.xlogy(rows, rows).sum(1).mean() - torch.special.xlogy(mean, mean).sum())
