"""Run folders: what lies in them, which one a new run takes, and what may be repeated, resumed or overwritten.

Imports no torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import RunConfig, merge, read_yaml, resolve
from unlabeled.errors import UsageError
from unlabeled.runs.lock import LOCK, holder

CONFIG = "config.yaml"
ENCODER = "encoder"
LAST = Path("checkpoints") / "last.ckpt"
METRICS = "metrics.jsonl"
PROBES = "probes.json"
HEAD = "head.json"
MEASURED = (PROBES, "finetune.json", "report.html", HEAD, "head.safetensors")  # say something of the encoder as it is
TAIL = 65536  # bytes of a log's end that are looked at
# training settings that a resumed run may change: those that end it, and those that leave its numbers as they are
LONGER = ("epochs", "steps", "minutes")
CHANGES = "changes.jsonl"  # settings of training that a resume changed
STEADY = ("clip", "precision")  # with the optimizer's settings: what a run that diverged goes on with
FREE = ("workers", "log_every", "checkpoint_every", "tensorboard", "logger", "stop_on_collapse")
# everything that core writes into a run folder, and so all that --overwrite may delete
CONTENT = (CONFIG, METRICS, CHANGES, "tensorboard", "checkpoints", ENCODER, *MEASURED)


class RunFolder:
    """A run folder: where things lie in it, and its configuration, read once.

    Nothing here makes or changes a folder but :meth:`write` and :meth:`clear`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.encoder, self.last = self.path / ENCODER, self.path / LAST
        self.metrics, self.probes = self.path / METRICS, self.path / PROBES

    @classmethod
    def next(cls, config: RunConfig, root: Path = Path("runs")) -> RunFolder:
        """``runs/<domain>-<recipe>-<n>``, the first that does not exist."""
        label = f"{config.domain}-{config.recipe or config.parts['objective'].name}".replace("/", "-")
        number = 1
        while (root / f"{label}-{number}").exists():
            number += 1
        return cls(root / f"{label}-{number}")

    @cached_property
    def raw(self) -> dict[str, Any]:
        """``config.yaml`` as it stands; ``UsageError`` where this is no run folder."""
        if not self.path.is_dir():
            what = "it is a file" if self.path.exists() else "it does not exist"
            raise UsageError(f"{self.path} is no run folder: {what}")
        if not (self.path / CONFIG).is_file():
            raise UsageError(f"{self.path} is no run folder: it has no {CONFIG}")
        return read_yaml(self.path / CONFIG)

    @cached_property
    def config(self) -> RunConfig:
        """The configuration, checked."""
        return resolve(self.raw)

    @property
    def is_run(self) -> bool:
        """Whether the folder has a config that a run of ours wrote."""
        try:
            found = self.raw
        except UsageError:
            return False
        return isinstance(found.get("domain"), str) and isinstance(found.get("training"), Mapping)

    def interrupted(self) -> str:
        """A line that says so where the run was stopped or killed before its end; empty where it was not."""
        if not self.is_run:
            return ""
        if who := holder(self.path):
            return f"{self.path} is still being trained, by {who}"
        again = f"unlabeled {self.raw['domain']} pretrain --resume --out {self.path} goes on with it"
        try:
            found = json.loads((self.encoder / "config.json").read_text(encoding="utf-8"))["provenance"]
            steps, stopped = int(found["steps"]), found.get("stopped")
        except FileNotFoundError:
            return f"{self.path} was interrupted before it wrote an encoder; {again}" if self.last.is_file() else ""
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return ""  # told by whoever reads the encoder
        if stopped == "interrupted":
            return f"{self.path} was interrupted after {steps:,} steps; {again}"
        if (logged := self._logged()) > steps:  # it was resumed, and killed
            return f"{self.path} was interrupted after {logged:,} steps, and its encoder is of step {steps:,}; {again}"
        return ""

    def _logged(self) -> int:
        """The last step that the log has; 0 where it has none."""
        try:
            with self.metrics.open("rb") as file:
                file.seek(max(0, self.metrics.stat().st_size - TAIL))
                lines = file.read().splitlines()
        except OSError:
            return 0
        for line in reversed(lines):
            try:
                return int(json.loads(line)["step"])
            except (ValueError, KeyError, TypeError):  # the last line of a killed run may be cut
                continue
        return 0

    def check_out(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that a run must not touch."""
        if resume and overwrite:
            raise UsageError("--resume goes on with a run and --overwrite deletes it: give one of them")
        if resume:
            assert self.raw
            if tuned_on_labels(self.path):
                raise UsageError(
                    f"{self.path} holds a model tuned on labels, with no training to go on with: "
                    f"--init {self.path} and a new --out start from its encoder"
                )
        elif self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path} is a file; it must be a folder, or new")
        elif self.path.exists() and any(not _scrap(path) for path in self.path.iterdir()):
            if not self.is_run:
                raise UsageError(
                    f"--out {self.path} exists, and is no run folder (no {CONFIG} of ours): choose another"
                )
            if not overwrite:
                raise UsageError(f"--out {self.path} holds a run: --resume goes on with it, --overwrite deletes it")

    def record(self, changes: Mapping[str, Any]) -> str:
        """Keep what a resume changes beside the log; a line that says it."""
        with (self.path / CHANGES).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self._logged(), "changes": changes}) + "\n")
        said = ", ".join(f"{name} {now} (was {was})" for name, (was, now) in changes.items())
        return f"going on with {said}; recorded in {self.path / CHANGES}"

    def clear(self) -> None:
        """Delete what core wrote, and nothing else that lies there."""
        assert self.is_run, self.path
        for name in reversed(CONTENT):  # config.yaml last: killed half-way, it is still known as a run folder
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def write(self, config: RunConfig) -> None:
        """Make the folder, and write its complete ``config.yaml``."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / CONFIG, config.to_yaml())
        self.raw, self.config = config.to_dict(), config


def _scrap(path: Path) -> bool:
    """Whether a killed writer of ours left it before there was a run."""
    return path.name in (f"{CONFIG}.tmp", LOCK)


def tuned_on_labels(folder: Path) -> bool:
    """Whether the encoder there was fine-tuned; a probe's head stands beside one as pre-training left it."""
    try:
        return "from" in json.loads((folder / HEAD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError):
        return True


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def base(
    domain: str, recipe: str | None = None, config: str | Path | None = None, resume: Path | None = None
) -> dict[str, Any]:
    """The mapping that flags go on top of: a run to resume, a config file, or a recipe."""
    if recipe and config:
        raise UsageError("a recipe and --config exclude each other: a run's config.yaml holds its recipe in full")
    raw = load_recipe(domain, recipe) if recipe else read_yaml(config) if config else {}
    return raw if resume is None else merge(RunFolder(resume).raw, raw, domain)


def check_resume(old: RunConfig, new: RunConfig) -> dict[str, list[Any]]:
    """Refuse to go on with a run under settings that would have made it another; what of how it steps has changed."""
    before, after = _flat(old.to_dict()), _flat(new.to_dict())
    changed, kept = [], dict[str, list[Any]]()
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        name = key.removeprefix("training.")
        if was == now or name in FREE or key in ("summary", "paper"):
            continue
        if name in STEADY or (key.startswith("optimizer.") and key != "optimizer.name"):
            kept[name] = [was, now]
            continue
        if key in {f"training.{n}" for n in LONGER}:
            if _limit(now) >= _limit(was):
                continue
            changed.append(f"{name} can only grow: the run has {was}, found {now}")
        else:
            changed.append(f"{name} is {was} in the run, found {now}")
    if changed:
        free = ", ".join(n.replace("_", "-") for n in (*LONGER, *STEADY, "lr", "optimizer.*", *FREE))
        raise UsageError(f"--resume goes on with the same run ({'; '.join(changed)}). Only these may change: {free}")
    return kept


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
