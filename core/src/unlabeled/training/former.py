"""Checkpoints of earlier versions: their state under the names of today, so that a run goes on."""

from collections.abc import Mapping

from torch import Tensor, nn

from unlabeled.nn.clock import Clock
from unlabeled.nn.teacher import Frozen, Teacher

CLOCKS = {"step": "step", "fraction": "fraction", "done": "fraction"}  # buffers that an objective once held itself


def renamed(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """``state`` with the keys that ``model`` has: a teacher's copies by name, an objective's steps in its clock, and
    what a module of it says in ``former``, ``{"old.": "new."}``."""
    found = dict(state)
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        for old, new in getattr(module, "former", {}).items():
            _move(found, f"{prefix}{old}", f"{prefix}{new}")
        if isinstance(module, Teacher):
            for number, copy in enumerate(module.names):
                _move(found, f"{prefix}copies.{number}.", f"{prefix}{copy}.")
        if isinstance(module, Frozen):
            _frozen(found, prefix, module)
        if isinstance(module, Clock):
            _clock(found, prefix, name.rpartition(".")[0], module)
    return found


def _move(state: dict[str, Tensor], old: str, new: str) -> None:
    for key in [key for key in state if key.startswith(old)]:
        state[new + key.removeprefix(old)] = state.pop(key)


def _frozen(state: dict[str, Tensor], prefix: str, frozen: Frozen) -> None:
    if not any(key.startswith(f"{prefix}start.") for key in state):
        _move(state, prefix, f"{prefix}start.")
    if frozen.start is None:  # its run folder has it
        for key in [key for key in state if key.startswith(prefix)]:
            del state[key]


def _clock(state: dict[str, Tensor], prefix: str, owner: str, clock: Clock) -> None:
    for old, new in CLOCKS.items():
        if (key := f"{owner}.{old}") in state and f"{prefix}{new}" not in state:
            state[f"{prefix}{new}"] = state.pop(key)
    for name, value in clock.named_buffers():  # an objective kept the one or the other, and reads no more than that
        state.setdefault(f"{prefix}{name}", value)
