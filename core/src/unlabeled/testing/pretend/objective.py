"""An objective on the pretended device: two steps on views that were sent there, and what the second waits for."""

from typing import Any

import torch

from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.testing.pretend.device import pretending
from unlabeled.testing.pretend.seen import NAME, NON_BLOCKING
from unlabeled.transfer import placed


def waits_of(encoder: Any, objective: Any, views: Any) -> list[str]:
    """``what [line]`` of each wait of the second step; a tensor of the host beside one of the device raises."""
    with pretending() as seen:
        encoder.to(NAME)
        objective.to(NAME)
        for step in range(2):
            seen.phase = "sent"
            there = placed(views, torch.device(NAME, 0))
            seen.phase = str(step)
            objective(encoder, there).total.backward()
            after_step(objective, encoder, Progress(step + 1, 20))
    return [f"{what} [{where}]" for when, what, where in seen.waits if when == "1" and what != NON_BLOCKING]
