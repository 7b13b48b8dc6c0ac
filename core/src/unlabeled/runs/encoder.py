"""The encoder folder: weights as safetensors, what builds them as JSON, and a model card. Nothing is unpickled.

``encoder/`` holds ``model.safetensors`` (the encoder's own state: no heads, no teacher), ``config.json`` (format,
domain, encoder and clean views with their settings, the spec's fields, where it comes from) and ``README.md``. Files
are written beside their target and renamed, so a killed writer leaves the old ones whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import unlabeled
from unlabeled.build import construct
from unlabeled.config.run import Choice, RunConfig
from unlabeled.config.settings import REQUIRED, check, signature
from unlabeled.errors import PluginError, UsageError
from unlabeled.plugins.registry import registry, resolve
from unlabeled.plugins.words import Component, Domain
from unlabeled.runs.card import card
from unlabeled.runs.folder import ENCODER

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"


@dataclass(frozen=True)
class Saved:
    """An encoder as it was saved.

    Args:
        encoder: an nn.Module in eval mode, on the CPU.
        spec: what it was wired with.
        views: the clean views that its features are taken from.
        info: ``config.json``.
    """

    encoder: Any
    spec: Any
    views: Any
    info: Mapping[str, Any]


def save_encoder(
    folder: str | Path, encoder: nn.Module, spec: Any, config: RunConfig, *, steps: int, samples: int
) -> Path:
    """Write the encoder folder of a run that took ``steps`` optimizer steps over ``samples`` samples; its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    info = describe_encoder(encoder, spec, config, steps=steps, samples=samples)
    weights = folder / (WEIGHTS + ".tmp")
    save_file(_distinct(encoder.state_dict()), weights, metadata={"format": "pt"})
    os.replace(weights, folder / WEIGHTS)
    write_json(folder / CONFIG, info)
    write_card(folder)
    return folder


def describe_encoder(encoder: Any, spec: Any, config: RunConfig, *, steps: int, samples: int) -> dict[str, Any]:
    """What ``config.json`` says.

    Settings that the encoder chose itself (a width of 0 = what fits the image) are written as what they became, so
    that the weights still fit should the rule change.
    """
    row = registry().domain(config.domain)
    versions = {"unlabeled": unlabeled.__version__, "torch": str(torch.__version__)}
    if registry().distribution(config.domain):
        versions["plugin"] = registry().distribution(config.domain)
    objective = config.parts["objective"]
    chosen = config.parts["encoder"]
    chosen = replace(chosen, settings={**chosen.settings, **getattr(encoder, "resolved", {})})
    return {
        "format": FORMAT,
        "domain": config.domain,
        "encoder": _choice(chosen),
        "spec": {field.name: getattr(spec, field.name) for field in fields(spec)},
        "clean": _choice(_clean(row)),
        "provenance": {
            "recipe": config.recipe,
            "paper": config.paper,
            "objective": _choice(objective),
            "views": config.parts["views"].name,
            "data": config.parts["data"].name,
            "seed": config.training.seed,
            "batch_size": config.training.batch_size,
            "init": config.training.init,
            "steps": steps,
            "samples_seen": samples,
            "versions": versions,
        },
    }


def write_card(folder: str | Path) -> None:
    """Write ``README.md`` from ``config.json`` and, where the run has been probed, from its ``probes.json``."""
    folder = Path(folder)
    probes = folder.parent / "probes.json"
    found = json.loads(probes.read_text(encoding="utf-8")) if probes.is_file() else None
    _write(folder / CARD, card(read_info(folder), found))


# ---------------------------------------------------------------------------------------------- loading


def load_encoder(source: str | Path) -> Saved:
    """Load an encoder folder, or that of a run folder.

    ``UsageError`` where a file is missing or broken. Which classes are built is said by the installed plugin's
    table, never by the file.
    """
    folder = encoder_folder(source)
    info = read_info(folder)
    row = registry().domain(str(info["domain"]))
    spec = _spec(row, info["spec"], folder)
    encoder = _construct(row, "encoder", info["encoder"], spec, folder)
    load_weights(encoder, folder / WEIGHTS)
    views = _construct(row, "views", info["clean"], spec, folder)
    return Saved(encoder.eval(), spec, views, info)


def encoder_folder(source: str | Path) -> Path:
    """``source`` itself, or the ``encoder/`` of a run folder."""
    source = Path(source)
    for folder in (source / ENCODER, source):
        if (folder / CONFIG).is_file():
            return folder
    if not source.exists():
        raise UsageError(f"{source}: no such folder; give a run folder or an encoder folder")
    raise UsageError(f"{source} holds no encoder ({ENCODER}/{CONFIG} is missing): has the run finished an epoch?")


def read_info(folder: Path) -> dict[str, Any]:
    """``config.json``, checked."""
    path = folder / CONFIG
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is broken: {error}") from error
    if not isinstance(info, dict) or not isinstance(info.get("format"), int):
        raise UsageError(f"{path} is no encoder's config: it has no format number")
    if info["format"] != FORMAT:
        raise UsageError(f"{path} has format {info['format']}; unlabeled {unlabeled.__version__} reads {FORMAT}")
    wrong = [k for k in ("encoder", "spec", "clean", "provenance") if not isinstance(info.get(k), dict)]
    wrong += [] if isinstance(info.get("domain"), str) else ["domain"]
    wrong += [k for k in ("encoder", "clean") if k not in wrong and not isinstance(info[k].get("name"), str)]
    if wrong:
        raise UsageError(f"{path} is broken: {', '.join(wrong)} missing or not what was written")
    return info


def initialize(encoder: nn.Module, source: str | Path) -> None:
    """Start ``encoder`` from the weights of a run folder, an encoder folder or a ``.safetensors`` file."""
    path = Path(source)
    load_weights(encoder, path if path.is_file() else encoder_folder(path) / WEIGHTS)


def restore(encoder: nn.Module, checkpoint: Path) -> None:
    """Load the encoder's weights out of a training checkpoint."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
        own = {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}
        encoder.load_state_dict(own)
    except (OSError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        raise UsageError(f"cannot read the encoder from {checkpoint}: {str(error).splitlines()[0]}") from error


def load_weights(encoder: nn.Module, path: Path) -> None:
    """Load a safetensors file into ``encoder``; names and shapes must match."""
    found = _read_weights(path)
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
        raise UsageError(f"{path} does not fit this encoder: {'; '.join(wrong)}")
    encoder.load_state_dict(found, strict=False)


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


# ---------------------------------------------------------------------------------------------- parts


def _clean(row: Domain) -> Choice:
    """The domain's clean views, at their defaults."""
    name = row.defaults.get("clean", "")
    if not name:
        raise PluginError(f"domain {row.name!r} names no clean views (defaults['clean']); features need them")
    sig = signature(registry().find(row.name, "views", name))
    return Choice(name, {s.name: s.default for s in sig.settings if s.default is not REQUIRED})


def _choice(choice: Choice) -> dict[str, Any]:
    return {"name": choice.name, "settings": dict(choice.settings)}


def _spec(row: Domain, values: Mapping[str, Any], folder: Path) -> Any:
    """The domain's spec dataclass, of the class that the installed plugin names."""
    if not row.spec:
        raise PluginError(f"domain {row.name!r} names no spec class (Domain.spec), so its encoders cannot be loaded")
    component = Component(kind="data", name="spec", target=row.spec, summary="")
    good, wrong = check("spec", values, signature(component))
    if wrong:
        raise UsageError(f"{folder / CONFIG} is broken: {'; '.join(wrong)}")
    try:
        return resolve(component)(**good)
    except ValueError as error:
        raise UsageError(f"{folder / CONFIG} is broken: spec: {error}") from error


def _construct(row: Domain, kind: str, saved: Mapping[str, Any], spec: Any, folder: Path) -> Any:
    component = registry().find(row.name, kind, saved["name"])
    settings = saved.get("settings") or {}
    if not isinstance(settings, dict):
        raise UsageError(f"{folder / CONFIG} is broken: the settings of {kind} are no mapping")
    good, wrong = check(kind, settings, signature(component))
    if wrong:
        raise UsageError(f"{folder / CONFIG} does not fit the installed plugin: {'; '.join(wrong)}")
    if good.get("pretrained") is True:
        good["pretrained"] = False  # a download whose weights would be overwritten at once
    return construct(component, good, {"spec": spec}, name=saved["name"])


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    _write(path, json.dumps(content, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
