"""Checkpoints of earlier versions: their state under the names of today, so that a run goes on."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from unlabeled.nn.clock import Clock
from unlabeled.nn.teacher import Frozen, Teacher
from unlabeled.training.optimizers import decays, parameter_groups

UNDECAYED = ("token", "tokens", "pos_embed", "pos_embedding", "position_embeddings")  # all that was known by name
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


def regrouped(saved: dict[str, Any], *modules: nn.Module) -> dict[str, Any]:
    """An optimizer's state in the groups that parameters stand in today: more is known that does not decay."""
    groups = parameter_groups(*modules)
    if [len(group["params"]) for group in saved["param_groups"]] == [len(group["params"]) for group in groups]:
        return saved
    told = sorted(decays(*modules, undecayed=UNDECAYED), key=lambda pair: not pair[1])
    place = {id(p): number for number, (p, _) in enumerate(told)}
    ordered = [place[id(p)] for group in groups for p in group["params"]]
    state = {number: saved["state"][old] for number, old in enumerate(ordered) if old in saved["state"]}
    found, start = [], 0
    for group in groups:
        like = saved["param_groups"][-1 if "weight_decay" in group else 0]
        more = {"steady": True} if "steady" in group else {}
        found.append({**like, **more, "params": list(range(start, start + len(group["params"])))})
        start += len(group["params"])
    return {"state": state, "param_groups": found}


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
