"""Checkpoints that a kill at any moment leaves whole: written beside the target, flushed to disk, renamed.

Lightning writes to a temporary folder and moves without flushing; a SIGKILL then left one file in five unreadable
across file systems. Here ``last.ckpt`` is always the newest complete checkpoint, and ``before.ckpt`` the one before.
Nothing that is not finite is written. The digests of both stand beside them, and a file that has neither is not read.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from unlabeled.errors import RunError
from unlabeled.runs.folder import write_text
from unlabeled.training.session import stepped

if TYPE_CHECKING:
    from unlabeled.training.module import Pretraining

SPARE = 30.0  # seconds between checkpoints where they are due once an epoch: a small epoch may take less than a write


BEFORE, SUMS = "before.ckpt", "sha256"


def write_atomically(checkpoint: Any, path: Path) -> None:
    """``torch.save`` so that ``path`` is at every moment either the old file or the new one, whole; the old one stays.

    Digests are written before the file takes its place, so that at every moment that of each file is among them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
    sums = path.with_name(SUMS)
    write_text(sums, "".join(f"{digest}\n" for digest in [_digest(temporary), *_known(sums)[:2]]))
    if path.exists():
        _keep_before(path)
    os.replace(temporary, path)
    if os.name == "posix":  # the rename itself must reach the disk; Windows cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _keep_before(path: Path) -> None:
    """A second name for the file that is about to be replaced; none where the file system has no links."""
    link = path.with_name(BEFORE + ".tmp")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:
        return
    os.replace(link, path.with_name(BEFORE))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _known(sums: Path) -> list[str]:
    """Digests of the newest checkpoints, the newest first; none of a run from before there were any."""
    try:
        return sums.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def damage(path: Path) -> str:
    """What is wrong with the file of a checkpoint; empty where it is what was written."""
    known = _known(path.with_name(SUMS))
    return "it is not what was written" if known and _digest(path) not in known else ""


def sound(path: Path) -> tuple[Path | None, str]:
    """The checkpoint to go on from, ``path`` or else the one before, and a line where it is not ``path``."""
    wrong = damage(path)
    if not wrong:
        return path, ""
    before = path.with_name(BEFORE)
    if not before.exists() or damage(before):
        return None, wrong
    return before, f"{path} is damaged ({wrong}): going on from the checkpoint before it"


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

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._infinite = {name for name, buffer in module.named_buffers() if buffer.isinf().any()}  # of masks

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
        self.check(trainer, module)
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise where weights, buffers or optimizer state are not finite on any rank; the files stay as they are."""
        bad = next((name for name, x in state_of(trainer, module) if name not in self._infinite and not finite(x)), "")
        if not trainer.strategy.reduce_boolean_decision(not bad, all=True):
            raise RunError(f"{bad or 'a weight of another rank'} is not finite after step {trainer.global_step}")


def finite(x: torch.Tensor) -> bool:
    """Whether every number of ``x`` is; the sum tells in one pass, but where it overflows itself."""
    return math.isfinite(float(x.sum())) or bool(x.isfinite().all())


def state_of(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, buffers, and what optimizers keep of each parameter, by name."""
    found = [*module.named_parameters(), *module.named_buffers()]
    names = {id(value): name for name, value in module.named_parameters()}
    for optimizer in trainer.optimizers:
        for parameter, kept in optimizer.state.items():
            found += [(f"optimizer's {key} of {names.get(id(parameter))}", x) for key, x in kept.items()
                      if isinstance(x, torch.Tensor)]  # fmt: skip
    yield from ((name, x.detach()) for name, x in found if x.is_floating_point())
