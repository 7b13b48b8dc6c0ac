"""What tests of an objective compare: a few steps of plain descent, alone and on ranks, and state that was saved."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unlabeled.contract import Progress, View, after_step
from unlabeled.nn.distributed import rank, world


def share(ids: Sequence[int]) -> list[int]:
    """This rank's part of ``ids``, as many as every other rank has."""
    each = len(ids) // world()
    return list(ids[rank() * each : (rank() + 1) * each])


def average(x: Tensor) -> Tensor:
    """The mean of ``x`` over ranks, in its place."""
    if world() > 1:
        dist.all_reduce(x)
        x /= world()
    return x


def descend(
    encoder: Any,
    objective: Any,
    views: Sequence[View],
    weights: Mapping[str, nn.Parameter],
    *,
    steps: int = 3,
    rate: float = 0.05,
    of: int = 20,
) -> dict[str, Any]:
    """``losses``, the first and the last ``gradient``, and the objective's ``state`` after steps of plain descent.

    Losses and gradients are means over ranks, as data-parallel training makes them. The objective hears of each step
    as one of ``of``.
    """
    losses: list[Tensor] = []
    first: dict[str, Tensor] = {}
    gradient: dict[str, Tensor] = {}
    for step in range(steps):
        loss = objective(encoder, views).total
        losses.append(average(loss.detach().clone()))
        found = torch.autograd.grad(loss, list(weights.values()))
        gradient = {name: average(g.contiguous()) for name, g in zip(weights, found, strict=True)}
        first = first or gradient
        with torch.no_grad():
            for name, weight in weights.items():
                weight.sub_(rate * gradient[name])
        after_step(objective, encoder, Progress(step + 1, of))
    return {"losses": losses, "first": first, "gradient": gradient, "state": dict(objective.state_dict())}


def assert_same(found: Mapping[str, Any], alone: Mapping[str, Any], *, rtol: float, atol: float = 0.0) -> None:
    """Two results of ``descend`` agree, tensor by tensor; losses to a hundredth of ``rtol``."""
    torch.testing.assert_close(found["losses"], alone["losses"], rtol=rtol / 100, atol=1e-12)
    for part in ("first", "gradient", "state"):
        assert found[part].keys() == alone[part].keys(), part
        for key, value in alone[part].items():
            torch.testing.assert_close(found[part][key], value, rtol=rtol, atol=atol, msg=_at(f"{part} {key}"))


def _at(place: str) -> Callable[[str], str]:
    return lambda said: f"{place}: {said}"


def reload(saved: nn.Module, other: nn.Module) -> None:
    """Put the state of ``saved`` into ``other`` by way of a file, as a checkpoint does."""
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
