"""Run folders: what lies in them, which one a new run takes, and what may be repeated, resumed or overwritten.

Nothing here makes or changes a folder but :func:`write_config` and :func:`clear`. Imports no torch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlabeled.config.run import RunConfig, merge, read_yaml, resolve
from unlabeled.errors import UsageError
from unlabeled.config.recipes import load_recipe

CONFIG = "config.yaml"
ENCODER = "encoder"
PROBES = "probes.json"
LAST = Path("checkpoints") / "last.ckpt"
MEASURED = (PROBES, "finetune.json", "report.html")  # say something of the encoder as it is
# everything that core writes into a run folder, and so all that --overwrite may delete
CONTENT = (CONFIG, "metrics.jsonl", "tensorboard", "checkpoints", ENCODER, *MEASURED)
# training settings that a resumed run may change: those that end it, and those that leave its numbers as they are
LONGER = ("epochs", "steps", "minutes")
FREE = ("workers", "log_every", "checkpoint_every", "tensorboard", "logger", "stop_on_collapse")


def base(
    domain: str, recipe: str | None = None, config: str | Path | None = None, resume: Path | None = None
) -> dict[str, Any]:
    """The mapping that flags go on top of: a run to resume, a config file, or a recipe."""
    if recipe and config:
        raise UsageError("a recipe and --config exclude each other: a run's config.yaml holds its recipe in full")
    if resume is not None:
        if recipe or config:
            over = load_recipe(domain, recipe) if recipe else read_yaml(str(config))
            return merge(read_config(resume), over, domain)
        return read_config(resume)
    if config:
        return read_yaml(config)
    return load_recipe(domain, recipe) if recipe else {}


def read_config(run: str | Path) -> dict[str, Any]:
    """``config.yaml`` of a run folder."""
    run = Path(run)
    if not run.is_dir():
        raise UsageError(f"{run} is no run folder: " + ("it is a file" if run.exists() else "it does not exist"))
    if not (run / CONFIG).is_file():
        raise UsageError(f"{run} is no run folder: it has no {CONFIG}")
    return read_yaml(run / CONFIG)


def read_run(run: str | Path, domain: str | None = None) -> RunConfig:
    """The configuration of a run folder."""
    return resolve(read_config(run), domain)


def next_folder(config: RunConfig, root: Path = Path("runs")) -> Path:
    """``runs/<domain>-<recipe>-<n>``, the first that does not exist."""
    label = f"{config.domain}-{config.recipe or config.parts['objective'].name}".replace("/", "-")
    number = 1
    while (root / f"{label}-{number}").exists():
        number += 1
    return root / f"{label}-{number}"


def check_out(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that a run must not touch."""
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite deletes it: give one of them")
    if resume:
        read_config(out)
    elif out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; it must be a folder, or new")
    elif out.exists() and any(out.iterdir()):
        if not is_run(out):
            raise UsageError(f"--out {out} exists, and is no run folder (no {CONFIG} of ours): choose another")
        if not overwrite:
            raise UsageError(f"--out {out} holds a run: --resume goes on with it, --overwrite deletes it")


def is_run(folder: Path) -> bool:
    """Whether ``folder`` has a config that a run of ours wrote."""
    try:
        found = read_config(folder)
    except UsageError:
        return False
    return isinstance(found.get("domain"), str) and isinstance(found.get("training"), Mapping)


def clear(run: Path) -> None:
    """Delete what core wrote into a run folder, and nothing else that lies there."""
    assert is_run(run), run
    for name in reversed(CONTENT):  # config.yaml last: killed half-way, it is still known as a run folder
        path = run / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_config(run: Path, config: RunConfig) -> None:
    """Make the run folder, and write its complete ``config.yaml``."""
    run.mkdir(parents=True, exist_ok=True)
    temporary = run / (CONFIG + ".tmp")
    temporary.write_text(config.to_yaml(), encoding="utf-8")
    os.replace(temporary, run / CONFIG)


def check_resume(old: RunConfig, new: RunConfig) -> None:
    """Refuse to go on with a run under settings that would have made it another run."""
    before, after = _flat(old.to_dict()), _flat(new.to_dict())
    changed = []
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        name = key.removeprefix("training.")
        if was == now or name in FREE or key in ("summary", "paper"):
            continue
        if key in {f"training.{n}" for n in LONGER}:
            if _limit(now) >= _limit(was):
                continue
            changed.append(f"{name} can only grow: the run has {was}, found {now}")
        else:
            changed.append(f"{name} is {was} in the run, found {now}")
    if changed:
        free = ", ".join(n.replace("_", "-") for n in (*LONGER, *FREE))
        raise UsageError(f"--resume goes on with the same run ({'; '.join(changed)}). Only these may change: {free}")


def _limit(value: Any) -> float:
    return float("inf") if value is None else float(value)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            out |= {f"{key}.{k}": v for k, v in value.items()}
        else:
            out[key] = value
    return out
