"""From the host to a device without a wait: several tensors in one pinned copy, constants once, ids that stay known.

A copy that says nothing waits for all that was queued before it, and each has a price, however small it is. What is
drawn or counted on the host for a step is therefore gathered first and sent at once.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

ALIGN = 16  # bytes: every dtype may start there


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


def send_numbers(values: Sequence[int] | Sequence[float], device: torch.device | str) -> Tensor:
    """A list of numbers on ``device``, without a wait; ``torch.tensor(values, device=device)`` has one."""
    return send([torch.tensor(values)], device)[0]


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers of a setting on ``device``, made once and never written to."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def moved_ids(ids: Tensor, device: torch.device | str) -> Tensor:
    """``ids`` on ``device``, which remember what they are on the host: draws are made there without reading them."""
    there = ids.to(device, non_blocking=True)
    if there is not ids:
        vars(there)["on_host"] = on_host(ids)
    return there


def on_host(ids: Tensor) -> Tensor:
    """``ids`` on the host, without a wait where :func:`moved_ids` has sent them."""
    if ids.device.type == "cpu":
        return ids
    known = vars(ids).get("on_host")
    return ids.cpu() if known is None else known
