"""Loggers of rows: ``metrics.jsonl`` always, TensorBoard by default, Weights & Biases or MLflow on request.

All but the first are Lightning's own loggers; a ``logger`` component is any function ``(out, run)`` that returns one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from unlabeled.errors import PluginError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

PACKAGES = ("wandb", "mlflow")


class Sink(Protocol):
    """What a log row goes to."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...
    def finalize(self, status: str) -> None: ...


class Jsonl:
    """One JSON object a line. Rows after ``step`` are dropped first: a resumed run writes them again."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_rows_after(path, step)
        self._file = path.open("a", encoding="utf-8")

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()

    def finalize(self, status: str) -> None:
        self._file.close()


def drop_rows_after(path: Path, step: int) -> None:
    """Keep the rows up to ``step``; what is none, such as a last line that a kill cut short, goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            keep = json.loads(line)["step"] <= step
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if keep:
            kept.append(line + "\n")
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, path)


def tensorboard(out: Path, step: int) -> Logger:
    """TensorBoard files in ``out/tensorboard``; a resumed run hides what it writes again."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(out, name="tensorboard", version="", purge_step=step + 1 if step else None)


def wandb(out: Path, run: str, *, project: str = "unlabeled", offline: bool = False) -> Logger:
    """Weights & Biases, https://wandb.ai; a resumed run goes on in the same one.

    Args:
        project: name of the project there.
        offline: write to the run folder alone, to be sent later.
    """
    require("wandb")
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(name=run, save_dir=out, version=_run_id(out), project=project, offline=offline, resume="allow")


def mlflow(out: Path, run: str, *, experiment: str = "unlabeled", uri: str | None = None) -> Logger:
    """MLflow, https://mlflow.org; a resumed run is one more run there.

    Args:
        experiment: name of the experiment there.
        uri: tracking server; none = the environment's MLFLOW_TRACKING_URI, or a folder in the run folder.
    """
    require("mlflow")
    from lightning.pytorch.loggers import MLFlowLogger

    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or (out / "mlflow").resolve().as_uri()
    return MLFlowLogger(experiment_name=experiment, run_name=run, tracking_uri=uri)


def require(package: str) -> None:
    """``PluginError`` with what to type, where a logger's package is not installed; core's are named like theirs."""
    if package in PACKAGES and importlib.util.find_spec(package) is None:
        raise PluginError(f"logger {package!r} needs the package {package!r}: pip install 'unlabeled[{package}]'")


def _run_id(out: Path) -> str:
    """An identity that stays with the run folder."""
    file = out / "wandb.id"
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()
