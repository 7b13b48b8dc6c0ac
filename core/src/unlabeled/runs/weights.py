"""Weights of an encoder as safetensors, and out of a training checkpoint. Nothing is unpickled."""

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlabeled.errors import RunError, UsageError
from unlabeled.runs.initial import PICKLED, read_pickled, renamed

HALF = (torch.float16, torch.bfloat16)


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the state of ``module``, tied weights once; the file is whole or the old one.

    Weights of half precision are written as float32, which holds them exactly. ``RunError`` where one is not finite.
    """
    state = {name: x.float() if x.dtype in HALF else x for name, x in _distinct(module.state_dict()).items()}
    if bad := not_finite(module, state):
        raise RunError(f"{path} is not written: {bad} of {type(module).__name__} is not finite")
    temporary = path.with_name(path.name + ".tmp")
    save_file(state, temporary, metadata={"format": "pt"})
    os.replace(temporary, path)


def restore(encoder: nn.Module, checkpoint: Path) -> None:
    """Load the encoder's weights out of a training checkpoint."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
        own = {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}
        encoder.load_state_dict(own)
    except (OSError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        raise UsageError(f"cannot read the encoder from {checkpoint}: {str(error).splitlines()[0]}") from error


def load_weights(encoder: nn.Module, path: Path) -> None:
    """Load a safetensors file into ``encoder``; names, shapes and types must match, and numbers be finite."""
    found, own = _read_weights(path), encoder.state_dict()
    cast = [name for name, x in found.items() if name in own and x.dtype != own[name].dtype]
    if cast:
        now, then = (str(state[cast[0]].dtype).removeprefix("torch.") for state in (found, own))
        raise UsageError(f"{path} was cast by another program: {cast[0]} is {now}, and was written as {then}")
    fill(encoder, found, path)


def start_from(encoder: nn.Module, path: Path) -> list[str]:
    """The same for a file that another program may have written: names under a prefix are found; names left out."""
    found = read_pickled(path) if path.suffix in PICKLED else _read_weights(path)
    kept = renamed(found, encoder.state_dict())
    fill(encoder, kept, path)
    taken = {id(value) for value in kept.values()}
    return [name for name, value in found.items() if id(value) not in taken]


def fill(encoder: nn.Module, found: Mapping[str, Tensor], path: Path) -> None:
    """Put ``found`` into ``encoder``; ``UsageError`` says what fits and what does not."""
    own = encoder.state_dict()
    names = _aliases(own)
    missing = [name for name in own if not any(alias in found for alias in names[name])]
    unknown = [name for name in found if name not in own]
    shapes = [
        f"{n} is {tuple(found[n].shape)}, needs {tuple(own[n].shape)}"
        for n in own
        if n in found and found[n].shape != own[n].shape
    ]
    wrong = [
        f"{len(names_)} {what} ({', '.join(names_[:3])}{', ...' if len(names_) > 3 else ''})"
        for what, names_ in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        if names_
    ]
    if wrong:
        fits = sum(name in own and own[name].shape == value.shape for name, value in found.items())
        raise UsageError(f"{path} does not fit this encoder: {'; '.join(wrong)}; {fits} of {len(own)} fit")
    if bad := not_finite(encoder, found):
        raise UsageError(f"{path} cannot be used: {bad} is not finite, so the run that wrote it has diverged")
    encoder.load_state_dict(found, strict=False)


def not_finite(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """The first of ``state`` that is NaN, or, of a parameter, infinite; a buffer may be, as masks are."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name, x in state.items():
        if x.is_floating_point() and bool(x.isnan().any() if name not in parameters else not x.isfinite().all()):
            return name
    return ""


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path} is no readable safetensors file: {error}") from error


def _aliases(state: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Each name with all names of the same tensor: tied weights are saved once."""
    by_place: dict[tuple[Any, ...], list[str]] = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.dtype) if tensor.numel() else (name,)
        by_place.setdefault(place, []).append(name)
    return {name: names for names in by_place.values() for name in names}


def _distinct(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    first = {names[0] for names in _aliases(state).values()}
    return {name: state[name].detach().cpu().clone().contiguous() for name in state if name in first}
