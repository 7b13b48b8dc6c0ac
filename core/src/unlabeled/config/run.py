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

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from unlabeled.config.implied import with_component, with_start
from unlabeled.config.settings import REQUIRED, Signature, check, read_signature, signature
from unlabeled.errors import UsageError, near
from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import Component, Domain

PARTS = ("data", "views", "tokenizer", "mask", "encoder", "decoder", "objective", "optimizer", "schedule")
REQUIRED_PARTS = ("data", "views", "encoder", "objective", "optimizer", "schedule")
HEAD = ("domain", "recipe", "summary", "paper")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")  # short for them


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a run trains; the same flags in every domain.

    Args:
        epochs: passes over the data.
        steps: optimizer steps; whichever of epochs, steps and minutes comes first ends the run.
        minutes: wall-clock minutes of training.
        batch_size: samples per optimizer step, over all devices and before accumulation splits it; 0 = all samples,
            as where they are nodes of one graph.
        accumulate: micro-steps per optimizer step, weighed by the rows (tokens, samples) of their loss's first mean;
            losses that couple the batch see batch_size / accumulate samples.
        micro_batch: samples per encoder pass under gradient caching: the loss sees the whole batch, the encoder
            chunks of this size; 0 = off.
        seed: of initial weights, order, views, masks and dropout.
        workers: processes that read data.
        accelerator: lightning's accelerator: auto, cpu, gpu, ...
        devices: devices per node: a count or auto.
        num_nodes: machines.
        strategy: lightning's strategy: auto, ddp, fsdp, ...
        precision: of the encoder's arithmetic: 32-true, bf16-mixed or 16-mixed.
        clip: greatest gradient norm; 0 = no clipping.
        init: encoder weights to start from: a run, encoder or export folder, or a .safetensors or .pth file.
        log_every: optimizer steps between log rows.
        checkpoint_every: optimizer steps between checkpoints; 0 = once an epoch, at most every 30 seconds.
        probe_every: epochs between online kNN probes, where the data has labels; 0 = off.
        stop_on_collapse: end the run when the features collapse.
        max_bad: greatest share of unreadable samples before the run stops; up to 10 never stop it, unless they are
            all or this is 0.
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
            elif kind not in REQUIRED_PARTS:
                out[kind] = None  # said, so that a replay does not fill in the domain's default
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


def merge(base: Mapping[str, Any], over: Mapping[str, Any], domain: str | None = None) -> dict[str, Any]:
    """``over`` on top of ``base``; a part that names another component drops the settings of the old one.

    With a ``domain`` components get the names that they have there today, so that an alias is no other component.
    """
    out = {k: _part_of(k, v, domain) for k, v in base.items()}
    for key, value in ((k, _part_of(k, v, domain)) for k, v in over.items()):
        old = out.get(key)
        if not isinstance(value, Mapping):
            out[key] = value
        elif not isinstance(old, dict) or ("name" in value and value["name"] != old.get("name", value["name"])):
            out[key] = dict(value)
        else:
            out[key] = old | dict(value)
    return out


def _part_of(key: str, value: Any, domain: str | None = None) -> Any:
    """A part written as a bare name, as a mapping."""
    if isinstance(value, str) and key in PARTS:
        value = {"name": value}
    if not isinstance(value, Mapping):
        return value
    if domain is None or key not in PARTS or not isinstance(value.get("name"), str):
        return dict(value)
    return {**value, "name": _today(domain, key, value["name"])}


def _today(domain: str, kind: str, name: str) -> str:
    """The name of the component that an alias stands for; any other word as it is."""
    for row in registry().components(domain, kind):
        if name in row.aliases:
            return row.name
    return name


def resolve(raw: Mapping[str, Any], domain: str | None = None) -> RunConfig:
    """Check a merged mapping and fill in every default; all errors at once, in one :class:`UsageError`."""
    config, errors = examine(raw, domain)
    if config is None or errors:
        raise UsageError(together(errors))
    return config


def together(errors: Sequence[str]) -> str:
    """All errors as one message, a line each."""
    many = f"found {len(errors)} errors:\n  " if len(errors) > 1 else ""
    return many + "\n  ".join(errors)


def examine(raw: Mapping[str, Any], domain: str | None = None) -> tuple[RunConfig | None, list[str]]:
    """The configuration that ``raw`` means, or None, and everything that is wrong with it."""
    name = domain or raw.get("domain")
    if not isinstance(name, str):
        return None, [f"the config names no domain.{near('', registry().domains)}"]
    row = registry().domain(name)
    known = (*HEAD, *PARTS, "training")
    errors = [f"unknown key {key!r}.{near(str(key), known)}" for key in raw if key not in known]
    if raw.get("domain") not in (None, name):
        errors.append(f"the config is for domain {raw['domain']!r}, the command for {name!r}")
    raw = _implied(row, raw)
    parts: dict[str, Choice] = {}
    data_path: str | None = None
    for kind in PARTS:
        given = _part_of(kind, raw.get(kind, {}))
        if given is None and kind not in REQUIRED_PARTS:
            continue
        if not isinstance(given, Mapping):
            errors.append(f"{kind} is {given!r}; it must be a name, or a mapping with a name and settings")
            continue
        if kind == "data" and given.get("path") is not None:
            data_path = str(given["path"])
        choice, wrong = _choose(row, kind, given, data_path)
        errors += wrong
        if choice is not None:
            parts[kind] = choice
    if "data" in parts and data_path is None and parts["data"].name == row.defaults.get("files"):
        errors.append(f"data {parts['data'].name} reads files and has no path: give --data PATH")
    training, wrong = _training(row, raw.get("training") or {})
    errors += wrong
    if errors or training is None:
        return None, errors
    head = {key: str(raw[key]) for key in ("recipe", "summary", "paper") if raw.get(key)}
    return RunConfig(name, parts, training, data_path, **head), []


def _implied(row: Domain, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """``raw`` with what comes with its encoder and with the weights that it starts from, where it says nothing else."""
    given = _part_of("data", raw.get("data") or {})
    if not isinstance(given, Mapping):
        return raw
    try:
        name = given.get("name") or default_name(row, "data", given.get("path"))
        settings = signature(registry().find(row.name, "data", str(name))).names
        raw = with_start(raw, row.name, settings)
        encoder = _part_of("encoder", raw.get("encoder") or {})
        if isinstance(encoder, Mapping) and encoder.get("name"):
            found = registry().find(row.name, "encoder", str(encoder["name"]))
            if found.brings:
                own = str(encoder["name"]).removeprefix(found.name.removesuffix("*"))
                raw = with_component(raw, found.brings, own, encoder, settings)
    except UsageError as error:
        if "cannot be had" in str(error):
            raise
        return raw  # an unknown name: told below, with all else that is wrong
    return raw


def _choose(row: Domain, kind: str, given: Mapping[str, Any], data_path: str | None) -> tuple[Choice | None, list[str]]:
    """The component that ``given`` names, or else the domain's default, with all of its settings."""
    chosen = given.get("name") or default_name(row, kind, data_path)
    if not chosen:
        missing = f"no {kind} is named, and domain {row.name!r} has no default one"
        return None, [missing] if kind in REQUIRED_PARTS or given else []
    settings = {k: v for k, v in given.items() if k != "name" and (kind, k) != ("data", "path")}
    try:
        component = registry().find(row.name, kind, str(chosen))
    except UsageError as error:
        return None, [str(error)]
    sig = signature(component)
    good, wrong = check(kind, settings, sig)
    return Choice(_today(row.name, kind, str(chosen)), _complete(sig, good)), wrong


def _training(row: Domain, given: Any) -> tuple[Training | None, list[str]]:
    if not isinstance(given, Mapping):
        return None, [f"training is {given!r}; it must be a mapping"]
    good, wrong = check("training", {**row.training, **given}, training_signature())
    if wrong:
        return None, wrong
    training = Training(**good)
    wrong = _bounds(training)
    if training.logger != "none":
        try:
            registry().find(row.name, "logger", training.logger)
        except UsageError as error:
            wrong.append(str(error))
    return training, wrong


def training_signature() -> Signature:
    return read_signature("unlabeled.config.run", "Training")


def default_name(row: Domain, kind: str, data_path: str | None = None) -> str:
    """The component that stands for ``kind`` where none is named; data that has a path is read by ``files``."""
    if kind == "data" and data_path is not None:
        return row.defaults.get("files", row.defaults.get("data", ""))
    return row.defaults.get(kind, {"optimizer": "adamw", "schedule": "cosine"}.get(kind, ""))


def data_choice(domain: str, text: str, part: Any = None) -> dict[str, Any]:
    """What ``--data`` means: a data component by name, or else a path, read as ``part`` reads its own or by default.

    ``tables:PATH`` is read by component ``tables``. A folder that is called like generated data is written
    ``./digits``; one that is called like a reader of files (``images``) is read by it.
    """
    row = registry().domain(domain)
    names = [component.name for component in registry().components(domain, "data")]
    if text in names and not reads_files(domain, text):
        return {"name": text}
    if text in names and Path(text).exists():
        return {"name": text, "path": text}
    if text in names:
        raise UsageError(f"--data {text} reads files: give a path, or {text}:PATH")
    reader, colon, place = text.partition(":")
    if colon and place and reader in names and not Path(text).exists():
        return {"name": reader, "path": place}
    if not Path(text).exists() and "://" not in text:
        if any(name.endswith("/*") and text.startswith(name[:-1]) for name in names):
            return {"name": text}
        hint = near(text, names) or " No data set has that name either."
        raise UsageError(f"--data {text}: no such file or folder.{hint}")
    if isinstance(part, Mapping) and part.get("path") is not None:
        return {"path": text}
    return {"name": default_name(row, "data", text), "path": text}


def place_of(data: str | Path | Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """What ``--data`` would say, and the settings beside it, as ``--data.*`` would."""
    if not isinstance(data, Mapping):
        return str(data), {}
    own = {**data}
    said = [str(own.pop(key)) for key in ("name", "path") if own.get(key) is not None]
    return ":".join(said) or None, own


def reads_files(domain: str, name: str) -> bool:
    """Whether a data component reads a user's files, and so is nothing without a path: it asks for ``max_bad``."""
    return "max_bad" in signature(registry().find(domain, "data", name)).wired


def _complete(sig: Signature, given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {s.name: s.default for s in sig.settings if s.default is not REQUIRED}
    return {s.name: given.get(s.name, defaults.get(s.name)) for s in sig.settings}


def _bounds(t: Training) -> list[str]:
    """What types cannot say."""
    wrong = []
    at_least: tuple[tuple[str, Any, float], ...] = (
        ("epochs", t.epochs, 0),
        ("batch_size", t.batch_size, 0),
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
    if t.precision not in PRECISIONS:  # lightning's others cast the batch, which is frozen
        wrong.append(f"training.precision is {t.precision!r}; it must be one of {', '.join(PRECISIONS)}")
    if t.batch_size % t.accumulate:
        wrong.append(f"training.batch_size {t.batch_size} is not a multiple of accumulate {t.accumulate}")
    if t.micro_batch and t.accumulate > 1:
        wrong.append("training.micro_batch and accumulate exclude each other: gradient caching needs the whole batch")
    return wrong
