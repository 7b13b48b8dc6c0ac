"""Checkpoints that a kill at any moment leaves whole: written beside the target, flushed to disk, renamed.

Lightning writes to a temporary folder and moves without flushing; a SIGKILL then left one file in five unreadable
across file systems. Here ``last.ckpt`` is always the newest complete checkpoint.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from unlabeled.training.session import stepped

if TYPE_CHECKING:
    from unlabeled.training.module import Pretraining

SPARE = 30.0  # seconds between checkpoints where they are due once an epoch: a small epoch may take less than a write


def write_atomically(checkpoint: Any, path: Path) -> None:
    """``torch.save`` so that ``path`` is at every moment either the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":  # the rename itself must reach the disk; Windows cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_stale(folder: Path) -> None:
    """Remove what a killed writer left."""
    for file in folder.glob("*.ckpt.tmp"):
        file.unlink()


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, written by :func:`write_atomically`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        assert storage_options is None, storage_options
        write_atomically(checkpoint, Path(path))


class Save(Callback):
    """Writes ``last.ckpt`` every ``every`` steps, at the last step, and when the run is to stop.

    Must be the last callback: the state of those before it belongs to the same step.
    """

    def __init__(self, path: Path, every: int, least_seconds: float) -> None:
        self.path, self.every, self.least_seconds = path, every, least_seconds
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if not stepped(trainer):
            return
        ends = trainer.should_stop or step >= trainer.max_steps
        if ends or (step % self.every == 0 and self._spared(module)):
            self._save(trainer, module)  # type: ignore[arg-type]

    def _spared(self, module: LightningModule) -> bool:
        waited = time.monotonic() - self._saved_at >= self.least_seconds
        # each rank has a clock of its own, and saving is collective
        return self.least_seconds == 0 or bool(module.trainer.strategy.broadcast(waited))

    def _save(self, trainer: Trainer, module: Pretraining) -> None:
        module.meter.check()
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
