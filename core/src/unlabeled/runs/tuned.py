"""A fine-tuned model in a run folder: its encoder as any run has it, and beside it the linear head with its classes.

``head.safetensors`` holds ``weight[K, D]`` and ``bias[K]``; ``head.json`` the names of the classes, labels or tasks,
the settings, the data, and the run that it was tuned from. A probe's head on a frozen encoder is kept alike, in the
probed run itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from torch import nn

from unlabeled.errors import UsageError
from unlabeled.runs.encoder import save_encoder
from unlabeled.runs.folder import ENCODER, HEAD, RunFolder, write_json
from unlabeled.runs.pretrained import Pretrained
from unlabeled.runs.task import Kind
from unlabeled.runs.weights import load_weights, save_weights

WEIGHTS = "head.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Head:
    """A linear head on pooled features, the names of its outputs, and what they are."""

    linear: nn.Linear
    classes: tuple[str, ...]
    kind: Kind = "classes"


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
    save_head(out, head, tuned)


def save_head(folder: Path, head: Head, origin: Mapping[str, Any]) -> None:
    """Write a head beside the encoder of a run."""
    save_weights(head.linear, folder / WEIGHTS)
    write_json(folder / HEAD, {"format": FORMAT, "kind": head.kind, "classes": list(head.classes), **origin})


def load_head(run: Pretrained) -> Head:
    """The head of a tuned run; ``UsageError`` where it has none."""
    path = run.folder / HEAD
    if not path.is_file():
        raise UsageError(
            f"{run.folder} has no head to predict with: unlabeled {run.domain} finetune {run.folder} "
            f"--data LABELED --out FOLDER makes a run that has one, and probe {run.folder} --keep fits one to it"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        classes = tuple(map(str, found["classes"]))
        number, kind = found["format"], found.get("kind", "classes")
        assert kind in get_args(Kind)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UsageError(f"{path} is broken: {error}") from error
    if number != FORMAT:
        raise UsageError(f"{path} has format {number}; this version reads {FORMAT}")
    linear = nn.Linear(run.encoder.dim, len(classes))
    load_weights(linear, run.folder / WEIGHTS)
    return Head(linear.eval(), classes, kind)
