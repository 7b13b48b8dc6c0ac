"""From the host to a device without a wait: several tensors in one pinned copy, constants once, ids that stay known.

A copy that says nothing waits for all that was queued before it, and each has a price, however small it is. What is
drawn or counted on the host for a step is therefore gathered first and sent at once.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

ALIGN = 16  # bytes: every dtype may start there
_residents: Any = WeakIdKeyDictionary()  # of a tensor on the host, by device
_hosts: Any = WeakIdKeyDictionary()  # of ids on a device


def send(tensors: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """The tensors on ``device``, by one transfer that nothing waits for. On the host they are returned as they are.

    >>> [x.tolist() for x in send([torch.tensor([1, 2]), torch.tensor([True])], "cpu")]
    [[1, 2], [True]]
    """
    device = torch.device(device)
    if device.type == "cpu" or not tensors:
        return list(tensors)
    sizes = [math.ceil(x.numel() * x.element_size() / ALIGN) * ALIGN for x in tensors]
    packed = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=device.type == "cuda")
    for x, room in zip(tensors, packed.split(sizes), strict=True):
        room[: x.numel() * x.element_size()].copy_(x.contiguous().flatten().view(torch.uint8))
    there = packed.to(device, non_blocking=True).split(sizes)
    return [_as(room, like) for room, like in zip(there, tensors, strict=True)]


def _as(room: Tensor, like: Tensor) -> Tensor:
    return room[: like.numel() * like.element_size()].view(like.dtype).view(like.shape)


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


def resident(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``, sent once: what was fitted or computed on the host for good. Nobody writes to it."""
    if x.device == device:
        return x
    places = _residents.setdefault(x, {})
    if device not in places:
        places[device] = send([x], device)[0]
    found: Tensor = places[device]
    return found


def moved_ids(ids: Tensor, device: torch.device | str) -> Tensor:
    """``ids`` on ``device``, which remember what they are on the host: draws are made there without reading them."""
    there = ids.to(device, non_blocking=True)
    if there is not ids:
        _hosts[there] = on_host(ids)
    return there


def cut_ids(ids: Tensor, start: int, stop: int) -> Tensor:
    """``ids[start:stop]``, which stay known on the host where ``ids`` are."""
    cut = ids[start:stop]
    if ids in _hosts:
        _hosts[cut] = _hosts[ids][start:stop]
    return cut


def on_host(ids: Tensor) -> Tensor:
    """``ids`` on the host, without a wait where :func:`moved_ids` has sent them."""
    if ids.device.type == "cpu":
        return ids
    known: Tensor | None = _hosts.get(ids)
    return ids.cpu() if known is None else known
