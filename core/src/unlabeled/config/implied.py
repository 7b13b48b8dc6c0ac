"""What comes with the weights that a run starts from, where the user says nothing else: encoder, and reading of data.

An encoder folder says its architecture and the spec of its data (size, rate, normalization, tokenizer); a component may
say what belongs to it (``brings``: a folder of transformers has its tokenizer). What the user or a recipe gives stays.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from unlabeled.errors import PluginError, UsageError

HUB = "hf://"
FILES = ("*.safetensors", "*.json")  # of a repository: weights and what says how they are read; nothing is unpickled
LONG = 1024  # characters from which on a setting is named by its folder


def located(source: str) -> str:
    """``source``, or the folder that ``hf://NAME`` was downloaded to: the one thing here that asks the network."""
    if not source.startswith(HUB):
        return source
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise PluginError(f"{source} needs huggingface_hub: pip install 'unlabeled[hub]'") from error
    try:
        return str(hub.snapshot_download(source.removeprefix(HUB), allow_patterns=list(FILES)))
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UsageError(f"{source} cannot be had: {reason}") from error


def encoder_info(source: str | Path) -> dict[str, Any] | None:
    """What an encoder of this project in ``source`` says of itself; None where there is none."""
    for folder in (Path(source) / "encoder", Path(source)):
        try:
            found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and all(isinstance(found.get(key), dict) for key in ("encoder", "spec")):
            return found
    return None


def with_start(raw: Mapping[str, Any], domain: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """``raw`` with the encoder and the data ``settings`` of the weights that it starts from, where it names none."""
    training, data = raw.get("training"), raw.get("data")
    source = training.get("init") if isinstance(training, Mapping) else None
    if isinstance(data, Mapping) and {*settings} <= {*data} and "encoder" in raw:
        return dict(raw)  # complete, as a run writes it: nothing is asked of anyone
    info = encoder_info(located(source)) if isinstance(source, str) and source else None
    if info is None or info.get("domain") != domain:
        return dict(raw)
    own, chosen = info["encoder"], raw.get("encoder") or {}
    chosen = {"name": chosen} if isinstance(chosen, str) else chosen
    out = dict(raw)
    if isinstance(chosen, Mapping) and chosen.get("name", own.get("name")) == own.get("name"):
        out["encoder"] = {"name": own.get("name"), **own.get("settings", {}), **chosen}
    spec = {
        key: source if isinstance(value, str) and len(value) > LONG else value for key, value in info["spec"].items()
    }
    return _with_data(out, {key: value for key, value in spec.items() if key in settings})


def with_component(raw: Mapping[str, Any], brings: str, name: str, chosen: Mapping[str, Any],
                   settings: tuple[str, ...]) -> dict[str, Any]:  # fmt: skip
    """``raw`` with the data ``settings`` that belong to a component, which says them by ``brings``."""
    module, _, function = brings.partition(":")
    found: Mapping[str, Any] = getattr(import_module(module), function)(name, chosen)
    return _with_data(dict(raw), {key: value for key, value in found.items() if key in settings})


def _with_data(raw: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    given = raw.get("data") or {}
    given = {"name": given} if isinstance(given, str) else given
    if found and isinstance(given, Mapping):
        raw["data"] = {**found, **given}
    return raw


def command(source: str, encoder: str, settings: Mapping[str, Any]) -> str:
    """The flags under which the weights in ``source`` fit, where they are those of an encoder of this project."""
    info = encoder_info(source)
    if info is None:
        return ""
    own = info["encoder"]
    same = own.get("name") == encoder
    differ = {k: v for k, v in own.get("settings", {}).items() if not same or _plain(settings.get(k)) != _plain(v)}
    flags = [] if same else [f"--encoder {own.get('name')}"]
    flags += [f"--encoder.{k.replace('_', '-')} {_word(v)}" for k, v in differ.items() if len(str(v)) < LONG]
    return f"; it fits {' '.join(flags)}" if flags else ""


def told(source: str, settings: Mapping[str, Any]) -> str:
    """A line on how the data are read as those that the weights in ``source`` saw; empty where there is nothing."""
    info = encoder_info(source) or {"spec": {}}
    same = {k: v for k, v in info["spec"].items() if k in settings and _plain(settings[k]) == _plain(v)}
    shown = ", ".join(f"{key} {_word(value)}" for key, value in same.items() if len(str(value)) < LONG)
    return f"read as {source} read its own: {shown}" if shown else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(_word, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
