"""Samples assigned to prototypes, evenly, by Sinkhorn-Knopp; and the assignment of one view predicted from another.

https://arxiv.org/abs/1306.0895; as SwAV, https://arxiv.org/abs/2006.09882, has it. Differs: scores are shifted by their
greatest before they are exponentiated (same codes, no overflow).

    # B samples, N rows to assign, K prototypes
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.nn.distributed import all_reduce, gather
from unlabeled.nn.precision import full


@torch.no_grad()
def sinkhorn(
    scores_NK: Tensor, *, epsilon: float = 0.05, iterations: int = 3, weight_N: Tensor | None = None
) -> Tensor:
    """Soft codes ``[N, K]``, each row summing to 1, with the prototypes used equally by the rows of all ranks.

    ``weight_N`` is how much a row counts in the prototypes' shares (default 1). Entries more than e^60 below the
    greatest of all are raised to that, so no row or column is empty.

    >>> sinkhorn(torch.tensor([[0.2, 0.0], [0.2, 0.1]])).argmax(1)  # both prefer the first: the second sample yields
    tensor([0, 1])
    """
    scores = full(scores_NK)
    top = gather(scores.amax()[None]).amax()
    codes = torch.exp(((scores - top) / epsilon).clamp(min=-60.0))
    for _ in range(iterations):
        counted = codes if weight_N is None else codes * weight_N[:, None]
        codes = codes / all_reduce(counted.sum(0))
        codes = codes / codes.sum(1, keepdim=True)
    return codes


def held(prototypes_KD: Tensor, learn: Tensor) -> Tensor:
    """Prototypes whose gradient is multiplied by ``learn[]``: 0 holds them still, as long as they are young.

    A factor of 0 rather than no gradient, since DDP fails on parameters that a step leaves out.

    >>> prototypes = torch.eye(2, requires_grad=True)
    >>> torch.autograd.grad(held(prototypes, torch.tensor(0.0)).sum(), prototypes)
    (tensor([[0., 0.],
            [0., 0.]]),)
    """
    still = prototypes_KD.detach()
    return still + learn * (prototypes_KD - still)


def swapped_prediction(scores: Sequence[Tensor], codes: Sequence[Tensor], temperature: float = 0.1) -> Tensor:
    """Cross-entropy of each view's ``scores[B, K]`` against the ``codes[B, K]`` of every other assigned view.

    ``codes[i]`` belongs to the view of ``scores[i]``: the assigned (global) views come first.

    >>> scores = [torch.eye(3), torch.eye(3)]
    >>> swapped_prediction(scores, [sinkhorn(s) for s in scores])
    tensor(9.0875e-05)
    """
    logs = [F.log_softmax(s / temperature, dim=1) for s in scores]
    terms = [-(q * log).sum(1).mean() for i, q in enumerate(codes) for v, log in enumerate(logs) if v != i]
    return torch.stack(terms).mean()
