"""A fine-tuned model in a run folder: its encoder as any run has it, and beside it the linear head with its classes.

``head.safetensors`` holds ``weight[K, D]`` and ``bias[K]``; ``head.json`` the names of the classes, the settings, the
data and the run that it was tuned from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from unlabeled.errors import UsageError
from unlabeled.runs.encoder import save_encoder
from unlabeled.runs.folder import ENCODER, HEAD, RunFolder, write_json
from unlabeled.runs.pretrained import Pretrained
from unlabeled.runs.weights import load_weights, save_weights

WEIGHTS = "head.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Head:
    """A linear head on pooled features, and the names of its classes."""

    linear: nn.Linear
    classes: tuple[str, ...]


def check_out(out: Path) -> None:
    """Refuse a folder that is not new or empty, before any work."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; it must be a folder, or new")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty; a tuned model needs a new folder")


def save_tuned(out: Path, run: Pretrained, encoder: nn.Module, head: Head, origin: Mapping[str, Any]) -> None:
    """Write a run folder with the tuned ``encoder`` of ``run`` and its head; ``origin`` says how it was tuned."""
    assert run.config is not None
    RunFolder(out).write(run.config)
    before = run.info["provenance"]
    tuned = {"from": str(run.folder), **origin}
    steps, samples = before.get("steps", 0), before.get("samples_seen", 0)
    save_encoder(out / ENCODER, encoder, run.spec, run.config, steps=steps, samples=samples, finetuned=tuned)
    save_weights(head.linear, out / WEIGHTS)
    write_json(out / HEAD, {"format": FORMAT, "classes": list(head.classes), **tuned})


def load_head(run: Pretrained) -> Head:
    """The head of a tuned run; ``UsageError`` where it has none."""
    path = run.folder / HEAD
    if not path.is_file():
        raise UsageError(
            f"{run.folder} has no head to predict with: unlabeled {run.domain} finetune {run.folder} "
            "--data LABELED --out FOLDER makes a run that has one"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        classes = tuple(map(str, found["classes"]))
        number = found["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is broken: {error}") from error
    if number != FORMAT:
        raise UsageError(f"{path} has format {number}; this version reads {FORMAT}")
    linear = nn.Linear(run.encoder.dim, len(classes))
    load_weights(linear, run.folder / WEIGHTS)
    return Head(linear.eval(), classes)
