"""Collectives that gradients flow through, and BatchNorm over all ranks, so that W ranks with B/W samples = 1 with B.

A gather's backward sums the gradients of all ranks and keeps its own slice. With a loss that is the mean over the
rank's own rows, the gradient averaged over ranks (as DDP does) is then that of the whole batch, with no further
factor; the same holds for a loss of all-reduced statistics that every rank computes in full.

    # N samples of all dimensions but C, C channels, W ranks, H values of a rank, any number
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unlabeled.errors import UsageError
from unlabeled.nn.precision import full


def world() -> int:
    """W, the number of ranks; 1 where no process group is initialized.

    >>> world()
    1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this rank, 0 where no process group is initialized.

    >>> rank()
    0
    """
    return dist.get_rank() if world() > 1 else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(world())[rank()]


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _AllReduce.forward(ctx, grads[0])


def gather(x: Tensor) -> Tensor:
    """``x[B/W, ...]`` of every rank in rank order: ``[B, ...]``. All ranks must hold the same shape.

    >>> gather(torch.zeros(4, 8)).shape  # of one rank; with W ranks [4 W, 8]
    torch.Size([4, 8])
    """
    return _Gather.apply(x) if world() > 1 else x


def all_reduce(x: Tensor) -> Tensor:
    """The sum of ``x`` over ranks.

    >>> all_reduce(torch.tensor(2.0))
    tensor(2.)
    """
    return _AllReduce.apply(x) if world() > 1 else x


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of ``x`` over ranks.

    >>> mean_over_ranks(torch.tensor(2.0))
    tensor(2.)
    """
    return all_reduce(x) / world() if world() > 1 else x


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over ``x[N, C, ...]`` of all ranks; torch's own with one rank.

    Works on any device, where SyncBatchNorm refuses the CPU. State keys are torch's. Ranks may hold different N.

    >>> BatchNorm(8)(torch.randn(4, 8)).shape
    torch.Size([4, 8])
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"BatchNorm takes x[N, C, ...]; found shape {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        if world() == 1 or not (self.training or self.running_mean is None):
            return super().forward(input)
        # autocast leaves elementwise work alone, so float() is enough to keep the statistics in full precision
        x = input if input.dtype == torch.float64 else input.float()
        mean, variance, count = union_moments(x)
        if self.training and self.track_running_stats:
            self._track(mean.detach(), (variance * count / (count - 1)).detach())
        shape = (1, -1) + (1,) * (x.dim() - 2)
        out = (x - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(variance.to(self.running_var.dtype), weight)


def union_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean ``[C]``, biased variance ``[C]`` and N of ``x[N, C, ...]`` over all ranks.

    From the mean and scatter of each rank (Chan et al. 1979): sums of squares cancel where |mean| >> std.

    >>> union_moments(torch.tensor([[1.0], [3.0]]))
    (tensor([2.]), tensor([1.]), tensor(2.))
    """
    channels = x.shape[1]
    rows = x.transpose(0, 1).flatten(1)
    n = x.new_full((channels,), rows.shape[1])
    local = rows.mean(1)
    scatter = (rows - local[:, None]).square().sum(1)
    n_W, mean_W, scatter_W = gather(torch.stack((n, local, scatter))[None]).unbind(1)
    count = n_W.sum(0)
    mean = (n_W * mean_W).sum(0) / count
    variance = (scatter_W + n_W * (mean_W - mean).square()).sum(0) / count
    return mean, variance, count[0]


_counts: ContextVar[list[Tensor] | None] = ContextVar("counts", default=None)


@contextmanager
def counting() -> Iterator[list[Tensor]]:
    """The numbers of rows that :func:`union_mean` has been taken of within, where gradients flow through their values.

    >>> with counting() as found:
    ...     loss = union_mean(torch.ones(3, requires_grad=True))
    >>> found
    [tensor(3.)]
    """
    found: list[Tensor] = []
    token = _counts.set(found)
    try:
        yield found
    finally:
        _counts.reset(token)


def union_mean(values_H: Tensor) -> Tensor:
    """The mean of the values of all ranks; 0 where there are none. Gradients averaged over ranks are those of one.

    >>> union_mean(torch.tensor([1.0, 2.0, 6.0])), union_mean(torch.zeros(0))
    (tensor(3.), tensor(0.))
    """
    values = full(values_H)
    total, count = all_reduce(torch.stack((values.sum(), values.new_full((), float(len(values)))))).unbind()
    found = _counts.get()
    if found is not None and values_H.requires_grad:
        found.append(count.detach())
    return total / count.clamp(min=1)


class _BatchNormAct(BatchNorm):
    """timm's BatchNormAct2d over all ranks: it drops and activates after it normalizes."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(input)))


def convert_batchnorm(module: nn.Module) -> nn.Module:
    """Make every torch BatchNorm in ``module`` one over all ranks, in place; with one rank nothing changes.

    The class of each is changed, not the module, so parameters, state keys, hooks and references stay.

    >>> type(convert_batchnorm(nn.Sequential(nn.BatchNorm2d(8)))[0]).__name__
    'BatchNorm'
    """
    plain = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    for name, child in module.named_modules():
        if not isinstance(child, nn.modules.batchnorm._BatchNorm) or isinstance(child, (BatchNorm, nn.SyncBatchNorm)):
            continue
        if type(child) in plain:
            child.__class__ = BatchNorm
        elif hasattr(child, "drop") and hasattr(child, "act"):
            child.__class__ = _BatchNormAct
        else:
            raise UsageError(
                f"{name or 'the module'} is a {type(child).__name__}, a BatchNorm with a forward of its own, which "
                "cannot be made to span ranks; train on one device, or choose an encoder with LayerNorm"
            )
    return module
