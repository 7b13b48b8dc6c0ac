"""The session of a run, shared by its callbacks: the time spent, why it stops, and the last figures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

Stop = Literal["", "minutes", "collapse", "interrupted"]


@dataclass
class Session:
    """``steps`` of the whole run, ``per_epoch`` of an epoch, ``start`` at the resume; ``budget`` in seconds or None."""

    steps: int
    per_epoch: int
    batch_size: int
    start: int = 0
    budget: float | None = None
    before: float = 0.0  # seconds of training before the resume
    seconds: float = 0.0  # of training, once it has ended
    spent: float = 0.0  # share of the budget, the same on all ranks
    stop: Stop = ""
    collapse: str = ""
    last: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def elapsed(self) -> float:
        """Seconds of training, over all resumes."""
        return self.before + time.perf_counter() - self.started


def reseed(seed: int, device: torch.device) -> None:
    """``torch.manual_seed`` for the CPU and ``device`` alone: without CUDA, torch's own queues a call for each other
    backend with a formatted traceback, 3 ms a call and never freed.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def position(trainer: Trainer) -> int:
    """Micro-steps that are done, over all epochs and resumes: the address of the one to come."""
    total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    return int(total.processed)


def stepped(trainer: Trainer) -> bool:
    """Whether the micro-step that just ended completed an optimizer step."""
    return position(trainer) % trainer.accumulate_grad_batches == 0
