"""Gradient caching: a loss over a large batch with an encoder that only ever sees a small one.

Scaling deep contrastive learning batch size, https://arxiv.org/abs/2101.06983. The encoder runs in chunks without a
graph; the objective sees the features of the whole batch as leaves; their gradients are then sent through the encoder
chunk by chunk, each run again. The gradient is that of the whole batch. Differs: works through a stand-in for the
encoder, so that any objective gains it, whatever calls it makes; dropout repeats by reseeding and not by saved state.

    # B samples, T packed rows, D features
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from unlabeled.contract import Features, Hide, Layout, Loss, Objective, Rows, View
from unlabeled.draw import mix64
from unlabeled.errors import UsageError, above
from unlabeled.nn.distributed import world
from unlabeled.training.session import reseed


def cached_backward(
    objective: Objective, encoder: Any, views: Sequence[View], micro_batch: int, *, seed: int, scale: float = 1.0
) -> Loss:
    """Add the gradient of ``scale * loss`` to all parameters, as ``loss.total.backward()`` would."""
    loss, replay = forward_cached(objective, encoder, views, micro_batch, seed=seed)
    (loss.total * scale).backward()
    replay()
    return loss


def forward_cached(
    objective: Objective, encoder: Any, views: Sequence[View], micro_batch: int, seed: int
) -> tuple[Loss, Callable[[], None]]:
    """The loss, and what to call after ``loss.total.backward()``: it brings the gradient into the encoder.

    Under DDP the hooks that average gradients see only the last chunk: set ``require_backward_grad_sync = False`` on
    the wrapper and call :func:`sync_gradients` once after the replay.

    Args:
        objective: called once, with a stand-in for the encoder.
        encoder: an ``nn.Module`` that treats samples one by one.
        views: of the whole batch on this rank.
        micro_batch: samples an encoder pass.
        seed: of this step on this rank; dropout follows from it, the call and the chunk.

    Raises:
        UsageError: for an encoder that normalizes over the batch, an objective that needs gradients through the
            encoder itself, and for views that cannot be cut.
    """
    above(0, micro_batch=micro_batch)
    refuse_uncached(objective, encoder)
    stand_in = CachedEncoder(encoder, micro_batch, seed)
    return objective(stand_in, views), stand_in.replay


def refuse_uncached(objective: Objective, encoder: nn.Module) -> None:
    """``UsageError`` where a loss in chunks would be another: the objective asks for gradients through the encoder, or
    the encoder has BatchNorm in training mode, which would normalize over each chunk."""
    if objective.needs.through:
        raise UsageError(
            "gradient caching (micro_batch) computes the loss from features without a graph, and this objective asks "
            "for gradients through the encoder: take a smaller batch, or accumulate gradients (--accumulate)"
        )
    for name, module in encoder.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise UsageError(
                f"gradient caching (micro_batch) runs the encoder in chunks, and its {name} is a BatchNorm, which "
                "would normalize over the chunk and not over the batch: choose an encoder with LayerNorm or GroupNorm, "
                "such as a ViT, or take a smaller batch, or accumulate gradients (--accumulate)"
            )


def sync_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over ranks, in one collective a dtype; what DDP's hooks would have done."""
    if world() == 1:
        return
    grads: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        # every rank runs the same graph, so a gradient that is missing here is missing everywhere
        if parameter.grad is not None:
            grads.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for tensors in grads.values():
        flat = _flatten_dense_tensors(tensors)
        dist.all_reduce(flat)
        torch._foreach_copy_(tensors, list(_unflatten_dense_tensors(flat / world(), tensors)))


# ---------------------------------------------------------------------------------------------- the stand-in


@dataclass(frozen=True)
class _Call:
    """One call of the encoder: how to repeat it, and the leaves that the objective saw."""

    view: View
    hide: Hide
    layers: tuple[int, ...]
    leaves: list[Tensor]
    lengths: list[list[int]]  # rows of each leaf that each chunk gave


class CachedEncoder:
    """Stands in for an encoder: runs it in chunks without a graph, and remembers each call for :meth:`replay`.

    Every other attribute is the encoder's own.
    """

    def __init__(self, encoder: Any, micro_batch: int, seed: int) -> None:
        self._encoder, self._micro_batch, self._seed = encoder, micro_batch, seed
        self._calls: list[_Call] = []
        self._count = 0
        device = next(encoder.parameters()).device
        self._precision = {
            "device_type": device.type,
            "dtype": torch.get_autocast_dtype(device.type),
            "enabled": torch.is_autocast_enabled(device.type),
            # a weight that autocast casts and keeps under no_grad would have no gradient in the second pass
            "cache_enabled": False,
        }
        self._device = device
        self._devices = [device] if device.type == "cuda" else []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def __call__(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        call = _Call(view, hide, tuple(layers), [], [])
        with torch.no_grad():
            parts = list(self._chunks(call, self._count))
        features = concatenate(parts, view.layout)
        if torch.is_grad_enabled():
            features = _map(features, lambda x: x.requires_grad_())
            call.leaves.extend(_tensors(features))
            call.lengths.extend([len(x) for x in _tensors(part)] for part in parts)
            self._calls.append(call)
        self._count += 1
        return features

    def replay(self) -> None:
        """Run every call again, chunk by chunk, with the gradients that its leaves have received."""
        for number, call in enumerate(self._calls):
            grads = [leaf.grad for leaf in call.leaves]
            if all(grad is None for grad in grads):
                continue
            rows = [[] if grad is None else grad.split([n[i] for n in call.lengths]) for i, grad in enumerate(grads)]
            for chunk, part in enumerate(self._chunks(call, number)):
                outputs = [(x, rows[i][chunk]) for i, x in enumerate(_tensors(part)) if rows[i] and x.requires_grad]
                if outputs:
                    torch.autograd.backward([x for x, _ in outputs], [grad for _, grad in outputs])
        self._calls.clear()

    def _chunks(self, call: _Call, number: int) -> Iterator[Features]:
        for chunk, start in enumerate(range(0, len(call.view), self._micro_batch)):
            piece = _cut(call.view, start, min(start + self._micro_batch, len(call.view)))
            with self._reseeded(number, chunk), torch.autocast(**self._precision):
                features = self._encoder(piece, hide=call.hide, layers=call.layers)
            yield features

    @contextlib.contextmanager
    def _reseeded(self, call: int, chunk: int) -> Iterator[None]:
        with torch.random.fork_rng(self._devices):
            # mixed, because the CPU generator reads only the low 32 bits of a seed
            word = mix64(mix64(torch.tensor(self._seed)) + (call << 32 | chunk))
            reseed(int(word), self._device)
            yield


def _cut(view: View, start: int, stop: int) -> View:
    try:
        return view.cut(start, stop)
    except TypeError as error:
        raise UsageError(
            f"gradient caching (micro_batch) cuts each view into chunks of samples, and this one cannot be cut: "
            f"{error}; leave micro_batch at 0 and take a smaller batch"
        ) from error


# ---------------------------------------------------------------------------------------------- features of chunks


def _tensors(features: Features) -> list[Tensor]:
    """All tensors of the features and of their layers that gradients may flow through, in a fixed order."""
    prefix = [] if features.prefix is None else [features.prefix]
    layers = (x for layer in features.layers for x in _tensors(layer))
    return [features.tokens, features.pooled, *prefix, *_further(features).values(), *layers]


def _further(features: Features) -> dict[str, Tensor]:
    """Tensors of rows that an encoder gives beyond the contract's, by name: those of a convolutional front end."""
    known = Features.__dataclass_fields__
    return {name: x for name, x in vars(features).items() if name not in known and isinstance(x, Tensor)}


def _map(features: Features, function: Callable[[Tensor], Tensor]) -> Features:
    further: dict[str, Any] = {name: function(x) for name, x in _further(features).items()}
    return replace(
        features,
        tokens=function(features.tokens),
        pooled=function(features.pooled),
        prefix=None if features.prefix is None else function(features.prefix),
        layers=tuple(_map(layer, function) for layer in features.layers),
        **further,
    )


def concatenate(parts: Sequence[Features], source: Layout | None) -> Features:
    """The features of the whole batch from those of its chunks; ``source`` is the layout that ``kept`` points into."""
    first = parts[0]
    return replace(
        first,
        tokens=torch.cat([part.tokens for part in parts]),
        layout=_join_layouts([part.layout for part in parts]),
        pooled=torch.cat([part.pooled for part in parts]),
        kept=None if first.kept is None else _join_kept([part.kept for part in parts], source),
        prefix=None if first.prefix is None else torch.cat([part.prefix for part in parts if part.prefix is not None]),
        layers=tuple(concatenate(layer, source) for layer in zip(*(part.layers for part in parts), strict=True)),
        **{name: torch.cat([vars(part)[name] for part in parts]) for name in _further(first)},
    )


def _join_kept(parts: Sequence[Rows | None], source: Layout | None) -> Rows:
    assert source is not None, "rows were dropped from a view without a layout"
    shifts, group = [], 0
    for part in parts:
        assert part is not None
        shifts.append(source.offsets[group])
        group += len(part.lengths)
    return _join_rows([part for part in parts if part is not None], shifts)


def _join_rows(parts: Sequence[Rows], shifts: Sequence[int]) -> Rows:
    index = torch.cat([part.index + shift for part, shift in zip(parts, shifts, strict=True)])
    return Rows(index, tuple(n for part in parts for n in part.lengths))


def _join_layouts(parts: Sequence[Layout]) -> Layout:
    first, shifts, total = parts[0], [], 0
    for part in parts:
        shifts.append(total)
        total += part.total
    pairs = list(zip(parts, shifts, strict=True))
    return Layout(
        lengths=tuple(n for part in parts for n in part.lengths),
        position=torch.cat([part.position for part in parts]),
        grid=first.grid if all(part.grid == first.grid for part in parts) else None,
        edges=None if first.edges is None else torch.cat([p.edges + s for p, s in pairs if p.edges is not None], dim=1),
        seeds=None if first.seeds is None else torch.cat([p.seeds + s for p, s in pairs if p.seeds is not None]),
        maskable=None if first.maskable is None else _join_rows([p.maskable or p.all for p in parts], shifts),
    )
