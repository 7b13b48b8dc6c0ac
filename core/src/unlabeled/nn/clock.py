"""The clock of an objective: where training stands, on the device and in the state, for schedules and draws."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Progress


class Clock(nn.Module):
    """``step[]`` (int64) and ``fraction[]`` (float32, 0 to 1) of the steps that are done; both are buffers.

    They stay on their device: an objective computes with them and never reads them, which would wait for an
    accelerator at every step.

    >>> clock = Clock()
    >>> clock.advance(Progress(5, 20))
    >>> clock.step, clock.fraction
    (tensor(5), tensor(0.2500))
    """

    step: Tensor
    fraction: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("fraction", torch.zeros(()))
        self._done = 0.0  # the fraction once more, on the host

    def advance(self, progress: Progress) -> None:
        """``progress.step`` steps are done: core says so after each (:func:`after_step`)."""
        self.step.fill_(progress.step)
        self.fraction.fill_(progress.fraction)
        self._done = torch.tensor(progress.fraction).item()  # rounded as the buffer is, which a resumed run starts from

    def past(self, share: float) -> bool:
        """Whether ``share`` of training is done, known to the host: for a branch that leaves work out."""
        return self._done >= share

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._done = self.fraction.item()

    def ramp(self, start: float, end: float, share: float) -> Tensor:
        """Linear from ``start`` to ``end`` over the first ``share`` of training, then constant: a tensor ``[]``."""
        done = (self.fraction / share).clamp(max=1.0) if share else torch.ones_like(self.fraction)
        return start + (end - start) * done

    def since(self, share: float) -> Tensor:
        """1 once ``share`` of training is done, 0 before: what multiplies a gradient or a term, ``float32[]``."""
        return (self.fraction >= share).to(self.fraction.dtype)


def after_step(objective: Any, encoder: Any, progress: Progress) -> None:
    """Tell an objective that an optimizer step is done, where it wants to know, and then every clock in it.

    >>> objective = nn.ModuleDict({"clock": Clock()})
    >>> after_step(objective, None, Progress(1, 4))
    >>> objective["clock"].step
    tensor(1)
    """
    if hasattr(objective, "after_step"):
        objective.after_step(encoder, progress)
    for clock in (part for part in objective.modules() if isinstance(part, Clock)):
        clock.advance(progress)
