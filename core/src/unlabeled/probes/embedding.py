"""Frozen features of a data set: in order, in eval mode, from the clean view, whatever the batch size.

# B samples of a batch, N samples of all, V views of each, D features
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count as count_from
from itertools import islice
from typing import Any, Literal, TypeGuard, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from unlabeled.contract import Batch, Data, Embedded, Features, View, Views
from unlabeled.data.readable import note
from unlabeled.draw import Draw
from unlabeled.errors import UsageError

Feature = Literal["pooled", "mean", "prefix"]
FEATURES: tuple[Feature, ...] = get_args(Feature)


def feature_of(out: Features | Tensor, feature: Feature = "pooled") -> Tensor:
    """``[B, D]``: the pooled vector, the mean of the tokens, or the first prefix token; of a baseline, its output."""
    if isinstance(out, Tensor):
        return out.flatten(1)
    if feature == "pooled":
        return out.pooled
    if feature == "mean":
        return out.layout.mean(out.tokens)
    if feature != "prefix":
        raise ValueError(f"feature is {feature!r}; it must be one of {', '.join(FEATURES)}")
    if out.prefix is None or not out.prefix.shape[1]:
        raise ValueError("feature is 'prefix', and this encoder has no class or register tokens; use pooled or mean")
    return out.prefix[:, 0]


@contextmanager
def modes_kept(encoder: Any) -> Iterator[None]:
    """Each module's own train or eval mode restored after (a frozen BatchNorm stays frozen)."""
    modes = [(m, m.training) for m in encoder.modules()] if isinstance(encoder, nn.Module) else []
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(encoder: Any) -> Iterator[None]:
    """Eval mode inside, and no gradients. Not inference mode: an encoder may cache its layouts for training."""
    with modes_kept(encoder), torch.no_grad():
        if isinstance(encoder, nn.Module):
            encoder.eval()
        yield


class _Rows(Dataset[Batch]):
    """Batch number i of ``data[ids]``, so that worker processes collate whole batches."""

    def __init__(self, data: Data, ids: Sequence[int], batch_size: int) -> None:
        self.data = data
        self.parts = [list(ids[i : i + batch_size]) for i in range(0, len(ids), batch_size)]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Batch:
        return self.data.__getitems__(self.parts[index])


def batches(data: Data, ids: Tensor, *, batch_size: int, workers: int) -> Iterator[Batch]:
    """The samples ``ids[N]`` of ``data`` that can be read, in order; ``data`` counts the others."""
    for batch in DataLoader(_Rows(data, ids.tolist(), batch_size), batch_size=None, num_workers=workers):
        note(data, batch)
        if len(batch):
            yield batch


def forwards(
    encoder: Any,
    data: Data,
    views: Views,
    ids: Tensor,
    *,
    layers: Sequence[int] = (),
    batch_size: int = 256,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Batch, View, Any]]:
    """Batches of the samples ``ids[N]`` that can be read, in order, their clean view and what ``encoder`` gives."""
    asked = {"layers": tuple(layers)} if layers else {}
    encode = encoder.to(device) if isinstance(encoder, nn.Module) else encoder
    batch_size = max(batch_size, getattr(data, "together", 0))  # where a part of a graph costs what the whole does
    with evaluating(encode):
        for batch in batches(data, ids, batch_size=batch_size, workers=workers):
            view = take(views, batch.to(device), 1, 0)[0]
            yield batch, view, encode(view, **asked)


def layer_count(encoder: Any, data: Data, views: Views, device: torch.device | str = "cpu") -> int:
    """How many layers an encoder gives, found by asking; ``UsageError`` where it gives none."""
    if "layers" not in encoder.can:
        raise UsageError(f"{type(encoder).__name__} gives no features of single layers: --features pooled or tokens")
    for depth in count_from(1):
        try:
            next(forwards(encoder, data, views, torch.arange(len(data)), layers=(-depth,), batch_size=1, device=device))
        except IndexError:
            return depth - 1
    raise AssertionError


def check_finite(x: Tensor) -> None:
    """``UsageError`` where rows of ``x[N, ...]`` are not finite."""
    if not x.isfinite().all():
        bad = int((~x.isfinite()).flatten(1).any(1).sum())
        raise UsageError(f"features of {bad} of {len(x)} samples are not finite; the weights may have diverged")


def embed(
    encoder: Any,
    data: Data,
    views_clean: Views,
    *,
    indices: Tensor | None = None,
    batch_size: int = 256,
    workers: int = 0,
    device: torch.device | str = "cpu",
    feature: Feature = "pooled",
) -> Embedded:
    """Features ``[N, D]`` of ``data[indices]`` from the first clean view, with labels and ids, on the CPU, in order.

    ``encoder`` is an encoder, moved to ``device``, or a baseline. Samples that the data could not read are left out.
    Raises ``UsageError`` for features that are not finite.
    """
    ids = torch.arange(len(data)) if indices is None else indices
    options = {"batch_size": batch_size, "workers": workers, "device": device, "feature": feature}
    found = embed_views(encoder, data, views_clean, ids, count=1, seed=0, **options)  # type: ignore[arg-type]
    return replace(found, x=found.x[:, 0])


def embed_views(
    encoder: Any,
    data: Data,
    views: Views,
    ids: Tensor,
    *,
    count: int,
    seed: int,
    batch_size: int = 256,
    workers: int = 0,
    device: torch.device | str = "cpu",
    feature: Feature = "pooled",
) -> Embedded:
    """Features ``[N, V, D]`` of ``count`` views of ``data[ids]``, those of the first role that ``views`` make.

    Where one call makes fewer, the samples are drawn again as of the next epoch.
    """
    encode = encoder.to(device) if isinstance(encoder, nn.Module) else encoder
    batch_size = max(batch_size, getattr(data, "together", 0))  # where a part of a graph costs what the whole does
    x, read = [torch.zeros(0, count, 0)], [torch.zeros(0, dtype=torch.int64)]
    with evaluating(encode):
        for batch in batches(data, ids, batch_size=batch_size, workers=workers):
            made = islice(_drawn(views, batch.to(device), seed), count)
            x.append(torch.stack([feature_of(encode(view), feature).float().cpu() for view in made], 1))
            read.append(batch.ids.cpu())
    # the first entry only gives an empty data set its shape
    joined, found = torch.cat(x[1:] or x), torch.cat(read)
    check_finite(joined)
    return Embedded(joined, None if data.labels is None else data.labels[found].long(), found)


def take(views: Views, batch: Batch, count: int, seed: int) -> list[View]:
    """``count`` views of ``batch``, of the first role; nothing in them is hidden."""
    return list(islice(_drawn(views, batch, seed), count))


def _drawn(views: Views, batch: Batch, seed: int) -> Iterator[View]:
    """Epoch after epoch, so that no more than one call's views are held."""
    for epoch in count_from(0):
        made = [view.clean() for view in views(batch, Draw(seed, epoch, batch.ids)) if view.role == views.roles[0]]
        assert made, f"views give no view of their first role {views.roles[0]!r}"
        yield from made


def has_running_statistics(encoder: Any) -> bool:
    """Whether features in eval mode depend on running statistics of BatchNorm."""
    return isinstance(encoder, nn.Module) and any(_tracks(m) for m in encoder.modules())


def calibrate(encoder: nn.Module, forward: Callable[[Batch], object], found: Iterator[Batch]) -> None:
    """Set the running statistics of BatchNorm to those of some batches, and touch nothing else.

    An untrained network in eval mode would normalize with mean 0 and variance 1, which is not what training would
    see in its first step: a straw man. All other modules stay in eval mode, and no label is read.
    """
    norms = [m for m in encoder.modules() if _tracks(m)]
    momenta = [m.momentum for m in norms]
    with torch.no_grad(), modes_kept(encoder):
        encoder.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
            norm.train()
        for batch in found:
            if len(batch) > 1:  # one sample has no variance
                forward(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _tracks(module: nn.Module) -> TypeGuard[_BatchNorm]:
    return isinstance(module, _BatchNorm) and module.running_mean is not None
