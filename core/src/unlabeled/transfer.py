"""From the host to a device without a wait: several tensors in one pinned copy, constants once, ids that stay known.

A copy that says nothing waits for all that was queued before it, and each has a price, however small it is. What is
drawn or counted on the host for a step is therefore gathered first and sent at once.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

ALIGN = 16  # bytes: every dtype may start there
SMALL = 1 << 16  # numbers of a tensor that stays known on the host
_residents: Any = WeakIdKeyDictionary()  # of a tensor on the host, by device
_hosts: Any = WeakIdKeyDictionary()  # of ids on a device


def send(tensors: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """The tensors on ``device``, by one transfer that nothing waits for. On the host they are returned as they are.

    >>> [x.tolist() for x in send([torch.tensor([1, 2]), torch.tensor([True])], "cpu")]
    [[1, 2], [True]]
    """
    device = torch.device(device)
    if device.type == "cpu" or all(x.device == device for x in tensors):
        return [x.to(device) for x in tensors]
    if any(x.device == device for x in tensors):
        found = iter(send([x for x in tensors if x.device != device], device))
        return [x if x.device == device else next(found) for x in tensors]
    sizes = [math.ceil(x.numel() * x.element_size() / ALIGN) * ALIGN for x in tensors]
    packed = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=device.type == "cuda")
    for x, room in zip(tensors, packed.split(sizes), strict=True):
        room[: x.numel() * x.element_size()].copy_(x.contiguous().flatten().view(torch.uint8))
    there = packed.to(device, non_blocking=True).split(sizes)
    return [_as(room, like) for room, like in zip(there, tensors, strict=True)]


def _as(room: Tensor, like: Tensor) -> Tensor:
    return room[: like.numel() * like.element_size()].view(like.dtype).view(like.shape)


def on(x: Tensor, device: torch.device) -> Tensor:
    """``x`` of the host on ``device``, without a wait."""
    return send([x], device)[0]


def numbers(values: Iterable[float], device: torch.device, dtype: torch.dtype = torch.int64) -> Tensor:
    """Numbers that the host knows (lengths, offsets, a setting) on ``device``, sent once however often asked for.

    ``torch.tensor(values, device=device)`` waits each time. Nobody writes to what this gives.

    >>> numbers((2, 3), torch.device("cpu"))
    tensor([2, 3])
    """
    if torch.compiler.is_compiling():
        return torch.tensor(list(values), dtype=dtype, device=device)
    return _kept(tuple(values), device, dtype)


@lru_cache(maxsize=512)
def _kept(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return send([torch.tensor(values, dtype=dtype)], device)[0]


def which(flags: Tensor, count: int) -> Tensor:
    """``int64[count]``: where flat ``flags`` are True, of which the host knows the number.

    On an accelerator not ``nonzero``: the size is known, so it need not be waited for; on a CPU that is twice as fast.

    >>> which(torch.tensor([False, True, True]), 2)
    tensor([1, 2])
    """
    found = torch.nonzero(flags) if flags.device.type == "cpu" else torch.nonzero_static(flags, size=count)
    return found.flatten()


def tally(ids: Tensor, total: int) -> Tensor:
    """``int64[total]``: how often each of 0 to total - 1 stands in flat ``ids``; ``bincount`` reads them back first.

    >>> tally(torch.tensor([0, 2, 2]), 4)
    tensor([1, 0, 2, 0])
    """
    if ids.device.type == "cpu":
        return torch.bincount(ids, minlength=total)
    return ids.new_zeros(total).scatter_add_(0, ids, torch.ones_like(ids))


def resident(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``, sent once: what was fitted or computed on the host for good. Nobody writes to it."""
    if x.device == device:
        return x
    places = _residents.setdefault(x, {})
    if device not in places:
        places[device] = send([x], device)[0]
    found: Tensor = places[device]
    return found


def placed(value: Any, device: torch.device) -> Any:
    """``value`` with every tensor in it on ``device``, by one transfer: of dataclasses, mappings, lists and tuples.

    A tensor that stands in several places is sent once. Small ones stay known on the host.
    """
    found: dict[int, Tensor] = {}
    _walk(value, lambda x: found.setdefault(id(x), x))
    there = dict(zip(found, send(list(found.values()), device), strict=True))

    for number, x in found.items():
        if there[number] is not x and x.numel() <= SMALL:
            _hosts[there[number]] = x
    return _walk(value, lambda x: there[id(x)])


def _walk(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _walk(getattr(value, f.name), change) for f in fields(value)})
    if isinstance(value, Mapping):
        return {key: _walk(part, change) for key, part in value.items()}
    return type(value)(_walk(part, change) for part in value) if isinstance(value, (list, tuple)) else value


def moved(x: Tensor, device: torch.device | str) -> Tensor:
    """``x`` on ``device``; if it is small it stays known on the host: draws are made there without reading it."""
    there = x.to(device, non_blocking=True)
    if there is not x and x.device.type == "cpu" and x.numel() <= SMALL:
        _hosts[there] = x
    return there


def cut(x: Tensor, start: int, stop: int) -> Tensor:
    """``x[start:stop]``, which stays known on the host where ``x`` is."""
    part = x[start:stop]
    if x in _hosts:
        _hosts[part] = _hosts[x][start:stop]
    return part


def on_host(x: Tensor) -> Tensor:
    """``x`` on the host, without a wait where :func:`moved` or :func:`placed` has sent it."""
    if x.device.type == "cpu":
        return x
    known: Tensor | None = _hosts.get(x)
    return x.cpu() if known is None else known
