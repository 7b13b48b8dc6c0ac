"""One step of a run on the pretended device, the second: what made the host wait, and what was copied to the device."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unlabeled.build import Parts
from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.testing.pretend.device import pretending
from unlabeled.testing.pretend.seen import NAME, NON_BLOCKING, Seen

WARM = 1  # steps before the one that is watched: what is made once is made there


@dataclass(frozen=True)
class Step:
    """What a step asked of the host.

    Args:
        waits: how often the host waited, by ``(what, line of the project)``.
        copies: how often it sent something without waiting, by line.
        batch: tensors of the batch itself, which are sent before the step.
        launches: kernels.
        loss: of each step.
    """

    waits: Counter[tuple[str, str]]
    copies: Counter[str]
    batch: int
    launches: int
    loss: tuple[float, ...]


def step_on_device(parts: Parts, ids: Sequence[int]) -> Step:
    """The step after the first of a run on the device: views, loss, gradients, optimizer, ``after_step``.

    Raises:
        RuntimeError: a tensor of the host met one of the device; the message says the line.
    """
    losses = []
    with pretending() as seen:
        parts.encoder.to(NAME)
        parts.objective.to(NAME)
        optimizer, _ = parts.optimizer(WARM + 1)
        batches = [parts.data.__getitems__(list(ids)) for _ in range(WARM + 1)]
        for step, batch in enumerate(batches):
            seen.phase = f"batch {step}"
            moved = parts.transfer(batch, torch.device(NAME, 0))
            seen.phase = str(step)
            loss = parts.loss(moved, step)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
            after_step(parts.objective, parts.encoder, Progress(step + 1, WARM + 1))
            seen.phase = "read"
            losses.append(loss.total.item())
    return _read(seen, str(WARM), tuple(losses))


def _read(seen: Seen, phase: str, losses: tuple[float, ...]) -> Step:
    waits, copies = Counter[tuple[str, str]](), Counter[str]()
    for (when, what, where), count in seen.waits.items():
        if when == phase and what == NON_BLOCKING:
            copies[where] += count
        elif when == phase:
            waits[what, where] += count
    launches = sum(count for (when, _), count in seen.launches.items() if when == phase)
    batch = sum(count for (when, _, _), count in seen.waits.items() if when == f"batch {phase}")
    return Step(waits, copies, batch, launches, losses)
