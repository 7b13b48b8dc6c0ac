"""A run's configuration: which component of each kind, their settings, and the training settings. Imports no torch.

One YAML format serves recipes and runs. A recipe leaves out what the domain's defaults say; a run's ``config.yaml``
is complete and replayable::

    paper: "2103.03230"
    views: {name: byol}
    encoder: {name: vit, depth: 6}
    objective: {name: barlow_twins, redundancy: 0.005}
    optimizer: {name: adamw, lr: 0.001}
    training: {batch_size: 256, epochs: 100}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from unlabeled.errors import UsageError, near
from unlabeled.plugins import Component, registry
from unlabeled.settings import REQUIRED, Signature, check, read_signature, signature

PARTS = ("data", "views", "tokenizer", "mask", "encoder", "decoder", "objective", "optimizer", "schedule")
REQUIRED_PARTS = ("data", "views", "encoder", "objective", "optimizer", "schedule")
HEAD = ("domain", "recipe", "summary", "paper")


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a run trains; the same flags in every domain.

    Args:
        epochs: passes over the data.
        steps: optimizer steps; whichever of epochs, steps and minutes comes first ends the run.
        minutes: wall-clock minutes of training.
        batch_size: samples per optimizer step, over all devices and before accumulation splits it.
        accumulate: micro-steps per optimizer step; losses that couple the batch see batch_size / accumulate samples.
        micro_batch: samples per encoder pass under gradient caching: the loss sees the whole batch, the encoder
            chunks of this size; 0 = off.
        seed: of initial weights, order, views, masks and dropout.
        workers: processes that read data.
        accelerator: lightning's accelerator: auto, cpu, gpu, ...
        devices: devices per node: a count or auto.
        num_nodes: machines.
        strategy: lightning's strategy: auto, ddp, fsdp, ...
        precision: lightning's precision: 32-true, bf16-mixed, 16-mixed, ...
        clip: greatest gradient norm; 0 = no clipping.
        init: encoder weights to start from: a run folder, an encoder folder or a safetensors file.
        log_every: optimizer steps between log rows.
        checkpoint_every: optimizer steps between checkpoints; 0 = once an epoch.
        probe_every: epochs between online kNN probes, where the data has labels; 0 = off.
        stop_on_collapse: end the run when the features collapse.
        max_bad: greatest share of unreadable samples before the run stops.
        compile: torch.compile the encoder.
        tensorboard: write TensorBoard files into the run folder.
        logger: further logger: none, wandb, mlflow.
    """

    epochs: int = 100
    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 256
    accumulate: int = 1
    micro_batch: int = 0
    seed: int = 0
    workers: int = 0
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    clip: float = 0.0
    init: str | None = None
    log_every: int = 10
    checkpoint_every: int = 0
    probe_every: int = 0
    stop_on_collapse: bool = False
    max_bad: float = 0.01
    compile: bool = False
    tensorboard: bool = True
    logger: str = "none"


@dataclass(frozen=True)
class Choice:
    """A component by name, with its settings (complete, once a config is resolved)."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunConfig:
    """A complete, checked configuration. ``parts`` has a Choice for each kind in PARTS that the run uses."""

    domain: str
    parts: Mapping[str, Choice]
    training: Training = Training()
    data_path: str | None = None
    recipe: str = ""
    summary: str = ""
    paper: str = ""

    def component(self, kind: str) -> Component:
        return registry().find(self.domain, kind, self.parts[kind].name)

    def to_dict(self) -> dict[str, Any]:
        """The YAML form."""
        out: dict[str, Any] = {name: getattr(self, name) for name in HEAD if getattr(self, name)}
        for kind in PARTS:
            if kind in self.parts:
                choice = self.parts[kind]
                path = {"path": self.data_path} if kind == "data" else {}
                out[kind] = {"name": choice.name, **path, **_plain(choice.settings)}
        out["training"] = _plain(asdict(self.training))
        return out

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.to_dict(), sort_keys=False, width=110)

    def with_training(self, **changes: Any) -> RunConfig:
        return replace(self, training=replace(self.training, **changes))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists and paths as strings, as YAML has them."""
    return {k: list(v) if isinstance(v, tuple) else str(v) if isinstance(v, Path) else v for k, v in values.items()}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A config or recipe file, by ``yaml.safe_load``."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds {type(found).__name__}; a config is a mapping of {', '.join(PARTS)}, training")
    return found


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``; a part that names another component drops the settings of the old one."""
    out = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in over.items():
        old = out.get(key)
        if not isinstance(value, Mapping):
            out[key] = value
        elif not isinstance(old, dict) or ("name" in value and value["name"] != old.get("name")):
            out[key] = dict(value)
        else:
            out[key] = old | dict(value)
    return out


def resolve(raw: Mapping[str, Any], domain: str | None = None) -> RunConfig:
    """Check a merged mapping and fill in every default; all errors at once, in one :class:`UsageError`."""
    errors: list[str] = []
    name = domain or raw.get("domain")
    if not isinstance(name, str):
        raise UsageError(f"the config names no domain.{near('', registry().domains)}")
    row = registry().domain(name)
    known = (*HEAD, *PARTS, "training")
    errors += [f"unknown key {key!r}.{near(str(key), known)}" for key in raw if key not in known]
    parts: dict[str, Choice] = {}
    data_path: str | None = None
    for kind in PARTS:
        given = raw.get(kind, {})
        if given is None and kind not in REQUIRED_PARTS:
            continue
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping):
            errors.append(f"{kind} is {given!r}; it must be a name, or a mapping with a name and settings")
            continue
        settings = {k: v for k, v in given.items() if k != "name"}
        if kind == "data":
            path = settings.pop("path", None)
            data_path = None if path is None else str(path)
        chosen = given.get("name") or _default(row.defaults, kind, data_path)
        if not chosen:
            if kind in REQUIRED_PARTS:
                errors.append(f"no {kind} is named, and domain {name!r} has no default one")
            continue
        try:
            component = registry().find(name, kind, str(chosen))
            good, wrong = check(kind, settings, signature(component))
        except UsageError as error:
            errors.append(str(error))
            continue
        errors += wrong
        parts[kind] = Choice(str(chosen), _complete(signature(component), good))
    training_raw = raw.get("training", {})
    if not isinstance(training_raw, Mapping):
        raise UsageError(f"training is {training_raw!r}; it must be a mapping")
    good, wrong = check("training", training_raw, training_signature())
    errors += wrong
    if not errors:
        training = Training(**good)
        errors += _bounds(training)
    if errors:
        many = f"Found {len(errors)} errors in the config:\n  " if len(errors) > 1 else ""
        raise UsageError(many + "\n  ".join(errors))
    head = {key: str(raw[key]) for key in ("recipe", "summary", "paper") if raw.get(key)}
    return RunConfig(name, parts, training, data_path, **head)


def training_signature() -> Signature:
    return read_signature("unlabeled.config", "Training")


def _default(defaults: Mapping[str, str], kind: str, data_path: str | None) -> str:
    if kind == "data" and data_path is not None:
        return defaults.get("files", defaults.get("data", ""))
    return defaults.get(kind, {"optimizer": "adamw", "schedule": "cosine"}.get(kind, ""))


def _complete(sig: Signature, given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {s.name: s.default for s in sig.settings if s.default is not REQUIRED}
    return {s.name: given.get(s.name, defaults.get(s.name)) for s in sig.settings}


def _bounds(t: Training) -> list[str]:
    """What types cannot say."""
    wrong = []
    at_least: tuple[tuple[str, Any, float], ...] = (
        ("epochs", t.epochs, 0),
        ("batch_size", t.batch_size, 1),
        ("accumulate", t.accumulate, 1),
        ("micro_batch", t.micro_batch, 0),
        ("workers", t.workers, 0),
        ("num_nodes", t.num_nodes, 1),
        ("clip", t.clip, 0),
        ("log_every", t.log_every, 1),
        ("checkpoint_every", t.checkpoint_every, 0),
        ("probe_every", t.probe_every, 0),
    )
    for name, value, least in at_least:
        if value < least:
            wrong.append(f"training.{name} is {value}; it must be at least {least}")
    for name, limit in (("steps", t.steps), ("minutes", t.minutes)):
        if limit is not None and limit <= 0:
            wrong.append(f"training.{name} is {limit}; it must be above 0")
    if not 0 <= t.max_bad <= 1:
        wrong.append(f"training.max_bad is {t.max_bad}; it must be a share in [0, 1]")
    if t.batch_size % t.accumulate:
        wrong.append(f"training.batch_size {t.batch_size} is not a multiple of accumulate {t.accumulate}")
    if t.micro_batch and t.accumulate > 1:
        wrong.append("training.micro_batch and accumulate exclude each other: gradient caching needs the whole batch")
    return wrong
