"""The model card of an encoder: where it comes from, how it loads, and the numbers that were measured, no others."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from unlabeled.probes.table import Table

LONG = 100  # characters of a value that a card prints whole


def card(info: Mapping[str, Any], probes: Mapping[str, Any] | None) -> str:
    """``README.md`` from ``config.json`` and ``probes.json``; None says that nothing has been measured."""
    origin = info["provenance"]
    objective = origin.get("objective") or {}
    front = {
        "library_name": "unlabeled",
        "tags": ["self-supervised-learning", info["domain"], objective.get("name", ""), info["encoder"]["name"]],
        "datasets": [origin.get("data")],
    }
    title = f"{info['encoder']['name']} for {info['domain']}, pre-trained with {objective.get('name', '?')}"
    tuned = ", then tuned on labels" if origin.get("finetuned") else ""
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# {title}",
        f"A self-supervised encoder, trained without labels{tuned}, by [`unlabeled`](https://pypi.org/project/unlabeled/).",
        _load(info),
        "## How it was trained\n\n" + _origin(info, origin),
        "## What was measured\n\n" + _measured(info, probes),
        "## Limits\n\nFeatures reflect the data that it was trained on, with its gaps and biases. No use beyond the "
        "measurements above has been tested. The license of these weights follows from that data, and is not stated "
        "here because it is not known to the program that wrote this card.",
    ]
    return "\n\n".join(parts) + "\n"


def _load(info: Mapping[str, Any]) -> str:
    return (
        "## How to load it\n\n```python\nimport unlabeled\n\n"
        'encoder = unlabeled.load("path/to/this/folder")\n'
        'features, labels = encoder.embed("path/to/data")\n```\n\n'
        f"`unlabeled {info['domain']} export RUN --to native` writes weights that load without `unlabeled`."
    )


def _origin(info: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    paper = origin.get("paper") or ""
    rows = {
        "recipe": origin.get("recipe") or "none",
        "paper": f"https://arxiv.org/abs/{paper}" if paper[:4].isdigit() else paper,
        "objective": _settings(origin.get("objective")),
        "encoder": _settings(info["encoder"]),
        "views": origin.get("views"),
        "data": origin.get("data"),
        "input": ", ".join(f"{key} {_short(value)}" for key, value in info["spec"].items()),
        "started from": origin.get("init") or "random weights",
        "fine-tuned on labels": _tuned(origin.get("finetuned")),
        "optimizer steps": origin.get("steps"),
        "samples seen": origin.get("samples_seen"),
        "batch size": origin.get("batch_size"),
        "seed": origin.get("seed"),
        "versions": ", ".join(f"{key} {value}" for key, value in (origin.get("versions") or {}).items()),
    }
    return _table(("", ""), [(key, str(value)) for key, value in rows.items() if value not in (None, "")])


def _tuned(found: Mapping[str, Any] | None) -> str:
    return f"of {found['data']}, from {found['from']}" if found else ""


def _settings(choice: Mapping[str, Any] | None) -> str:
    if not choice:
        return ""
    settings = ", ".join(f"{key} {_short(value)}" for key, value in (choice.get("settings") or {}).items())
    return f"{choice['name']} ({settings})" if settings else str(choice["name"])


def _short(value: Any) -> str:
    """A value in a cell; a long one (a tokenizer, a configuration) by its beginning."""
    text = json.dumps(value) if isinstance(value, (list, tuple, dict)) else str(value)
    return text if len(text) <= LONG else f"{text[:LONG]}... ({len(text):,} characters)"


def _measured(info: Mapping[str, Any], probes: Mapping[str, Any] | None) -> str:
    if not probes:
        return f"Nothing yet. `unlabeled {info['domain']} probe RUN --data LABELED` measures it beside its baselines."
    return f"```text\n{Table.from_dict(probes).text()}\n```"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])
