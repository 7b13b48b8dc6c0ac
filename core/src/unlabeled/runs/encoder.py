"""The encoder folder: weights as safetensors, what builds them as JSON, and a model card. Nothing is unpickled.

``encoder/`` holds ``model.safetensors`` (the encoder's own state: no heads, no teacher), ``config.json`` (format,
domain, encoder and clean views with their settings, the spec's fields, where it comes from) and ``README.md``. Files
are written beside their target and renamed, so a killed writer leaves the old ones whole.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import unlabeled
from unlabeled.config.run import Choice, RunConfig
from unlabeled.config.settings import REQUIRED, signature
from unlabeled.errors import PluginError, UsageError
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import Domain
from unlabeled.runs.card import card
from unlabeled.runs.folder import ENCODER, PROBES, RunFolder, write_json, write_text
from unlabeled.runs.initial import single_file
from unlabeled.runs.weights import save_weights, start_from

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"


def save_encoder(
    folder: str | Path,
    encoder: nn.Module,
    spec: Any,
    config: RunConfig,
    *,
    steps: int,
    samples: int,
    finetuned: Mapping[str, Any] | None = None,
) -> Path:
    """Write the encoder folder of a run that took ``steps`` optimizer steps over ``samples`` samples; its path.

    ``finetuned`` says from what and how, where the weights were then tuned on labels.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    info = describe_encoder(encoder, spec, config, steps=steps, samples=samples)
    if finetuned:
        info["provenance"]["finetuned"] = dict(finetuned)
    save_weights(encoder, folder / WEIGHTS)
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
    probes = folder.parent / PROBES
    found = json.loads(probes.read_text(encoding="utf-8")) if probes.is_file() else None
    write_text(folder / CARD, card(read_info(folder), found))


def initialize(encoder: nn.Module, source: str | Path) -> list[str]:
    """Start ``encoder`` from the weights of a run, an encoder or an export folder, or a file of weights.

    Names of what the file holds beside the encoder (heads, a teacher), which is left out.
    """
    path = Path(source)
    if path.is_dir() and not any((folder / CONFIG).is_file() for folder in (path / ENCODER, path)):
        path = single_file(path) or path
    return start_from(encoder, path if path.is_file() else encoder_folder(path) / WEIGHTS)


def encoder_folder(source: str | Path) -> Path:
    """``source`` itself, or the ``encoder/`` of a run folder."""
    source = Path(source)
    for folder in (source / ENCODER, source):
        if (folder / CONFIG).is_file():
            return folder
    if not source.exists():
        raise UsageError(f"{source}: no such folder; give a run folder or an encoder folder")
    raise UsageError(
        RunFolder(source).interrupted()
        or f"{source} holds no encoder ({ENCODER}/{CONFIG} is missing): give a run "
        "folder that pretrain has finished, or an encoder folder"
    )


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


def _clean(row: Domain) -> Choice:
    """The domain's clean views, at their defaults."""
    name = row.defaults.get("clean", "")
    if not name:
        raise PluginError(f"domain {row.name!r} names no clean views (defaults['clean']); features need them")
    sig = signature(registry().find(row.name, "views", name))
    return Choice(name, {s.name: s.default for s in sig.settings if s.default is not REQUIRED})


def _choice(choice: Choice) -> dict[str, Any]:
    return {"name": choice.name, "settings": dict(choice.settings)}
