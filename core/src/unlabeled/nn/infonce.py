"""InfoNCE and NT-Xent: find the positive key of each query among all keys.

CPC, https://arxiv.org/abs/1807.03748; SimCLR, https://arxiv.org/abs/2002.05709; MoCo, https://arxiv.org/abs/1911.05722.
With ``chunk`` rows at a time, value and gradient come from one pass over the similarity matrix that never holds more
than those rows of it: the forward pass adds up the gradients as it goes, and the backward pass scales them. That takes
the three matrix products of the dense form, so memory is saved at no cost in time.

Vectors come normalized; with several ranks, each computes the mean over its own queries.

    # R queries of this rank, K keys, D features, B samples of all ranks, b samples of this rank
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from unlabeled.nn.distributed import gather, rank


def nt_xent(a_bD: Tensor, b_bD: Tensor, temperature: float, *, chunk: int = 0) -> Tensor:
    """SimCLR's loss of two views' unit vectors: all 2B - 2 vectors of other samples are negatives.

    >>> a, b = torch.eye(4), torch.eye(4)
    >>> nt_xent(a, b, temperature=0.1)
    tensor(0.0003)
    """
    keys_a, keys_b = gather(a_bD), gather(b_bD)
    ours = own_rows(a_bD)
    theirs = ours + len(keys_a)
    return info_nce(
        torch.cat((a_bD, b_bD)),
        torch.cat((keys_a, keys_b)),
        torch.cat((theirs, ours)),
        temperature,
        exclude_R=torch.cat((ours, theirs)),
        chunk=chunk,
    )


def own_rows(x_bD: Tensor) -> Tensor:
    """int64[b], where this rank's rows stand after :func:`unlabeled.nn.distributed.gather`.

    >>> own_rows(torch.zeros(3, 8))
    tensor([0, 1, 2])
    """
    return torch.arange(len(x_bD), device=x_bD.device) + rank() * len(x_bD)


def info_nce(
    query_RD: Tensor,
    keys_KD: Tensor,
    positive_R: Tensor,
    temperature: float,
    *,
    exclude_R: Tensor | None = None,
    chunk: int = 0,
) -> Tensor:
    """Mean cross-entropy of each query's positive key against all keys but ``exclude_R``.

    >>> info_nce(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), temperature=0.5)
    tensor(0.1269)
    """
    positive = (query_RD * keys_KD[positive_R]).sum(1) / temperature
    left_out = positive_R[:, None] if exclude_R is None else torch.stack((positive_R, exclude_R), 1)
    return contrast(query_RD, keys_KD, positive, temperature, exclude_RE=left_out, chunk=chunk)


def info_nce_queue(
    query_RD: Tensor, positive_RD: Tensor, queue_KD: Tensor, temperature: float, *, chunk: int = 0
) -> Tensor:
    """Mean cross-entropy of each query's own positive against a queue of negatives.

    >>> info_nce_queue(torch.eye(2), torch.eye(2), torch.eye(2).flip(0), temperature=0.5)
    tensor(0.7586)
    """
    positive = (query_RD * positive_RD).sum(1) / temperature
    return contrast(query_RD, queue_KD, positive, temperature, chunk=chunk)


def against(negative: Tensor, positive: Tensor) -> Tensor:
    """Cross-entropy of a logit against negatives of which ``negative`` is the logsumexp.

    In this form a small loss and its gradient keep their digits, which a logsumexp over all, less the positive, loses.

    >>> against(torch.tensor(-30.0), torch.tensor(0.0))
    tensor(9.3576e-14)
    """
    return F.softplus(negative - positive)


def contrast(
    query_RD: Tensor,
    keys_KD: Tensor,
    positive_R: Tensor,
    temperature: float,
    *,
    exclude_RE: Tensor | None = None,
    chunk: int = 0,
    decoupled: bool = False,
) -> Tensor:
    """Mean over queries of -log of the positive's share among itself and the query's negatives.

    Args:
        query_RD: of this rank.
        keys_KD: of all ranks: the negatives.
        positive_R: the logit of each query's positive.
        temperature: divides the similarities.
        exclude_RE: keys that are no negatives of a query: itself, its positive.
        chunk: queries at a time; 0 = all, through autograd.
        decoupled: whether the positive is left out of the denominator.

    >>> contrast(torch.eye(2), torch.eye(2), torch.ones(2), 1.0, exclude_RE=torch.tensor([[0], [1]]))
    tensor(0.3133)
    """
    if chunk > 0:
        return _Contrast.apply(query_RD, keys_KD, positive_R, exclude_RE, temperature, chunk, decoupled)
    logits = (query_RD / temperature) @ keys_KD.T
    if exclude_RE is not None:
        logits.scatter_(1, exclude_RE, float("-inf"))
    negative = torch.logsumexp(logits, 1)
    return (negative - positive_R if decoupled else against(negative, positive_R)).mean()


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_RD: Tensor,
        keys_KD: Tensor,
        positive_R: Tensor,
        exclude_RE: Tensor | None,
        temperature: float,
        chunk: int,
        decoupled: bool,
    ) -> Tensor:
        rows = len(query_RD)
        wants_query, wants_keys = ctx.needs_input_grad[:2]
        scaled_RD = query_RD / temperature
        apart_R, pull_R = torch.empty_like(positive_R), torch.ones_like(positive_R)
        grad_query = torch.empty_like(query_RD) if wants_query else None
        grad_keys = torch.zeros_like(keys_KD) if wants_keys else None
        buffer = query_RD.new_empty(min(chunk, rows), len(keys_KD))
        for start in range(0, rows, chunk):
            part = slice(start, min(start + chunk, rows))
            exclude = None if exclude_RE is None else exclude_RE[part]
            weights = buffer[: part.stop - part.start]
            negative, share = _softmax_(weights, scaled_RD[part], keys_KD, exclude)
            apart_R[part] = negative - positive_R[part]
            if not decoupled:
                pull_R[part] = apart_R[part].sigmoid()
            share = (share * pull_R[part])[:, None]
            if grad_query is not None:
                torch.mm(weights, keys_KD, out=grad_query[part]).mul_(share / temperature)
            if grad_keys is not None:
                grad_keys.addmm_(weights.T, scaled_RD[part] * share)
        ctx.save_for_backward(grad_query, grad_keys, -pull_R)
        ctx.rows = rows
        return (apart_R if decoupled else F.softplus(apart_R)).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0] / ctx.rows
        return (*(None if g is None else g * scale for g in ctx.saved_tensors), None, None, None, None)


def _softmax_(out_cK: Tensor, scaled_cD: Tensor, keys_KD: Tensor, exclude_cE: Tensor | None) -> tuple[Tensor, Tensor]:
    """Write ``exp(logits - max)`` of c rows into ``out_cK``; return their logsumexp ``[c]`` and what scales ``out`` to
    a softmax ``[c]``: scaling the products with ``out`` is cheaper than scaling ``out``."""
    torch.mm(scaled_cD, keys_KD.T, out=out_cK)
    if exclude_cE is not None:
        out_cK.scatter_(1, exclude_cE, float("-inf"))
    limits = torch.finfo(out_cK.dtype)  # a query without negatives has a logsumexp near -inf, and no gradient
    highest = out_cK.amax(1).clamp(min=limits.min / 2)
    total = out_cK.sub_(highest[:, None]).exp_().sum(1).clamp(min=limits.tiny)
    return highest + total.log(), total.reciprocal()
