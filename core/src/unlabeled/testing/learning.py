"""Train a recipe as it stands for some steps, without a run's folder and callbacks: what tests of learning share."""

from collections.abc import Iterator

import torch
from torch import Tensor

from unlabeled.build import Parts
from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.training.optimizers import set_rate


def batches(ids_N: Tensor, size: int, steps: int) -> Iterator[tuple[int, Tensor]]:
    """The epoch and the samples of each step: every epoch has an order of its own, and no smaller last batch."""
    each = len(ids_N) // size
    for step in range(steps):
        epoch, number = divmod(step, each)
        order = ids_N[torch.randperm(len(ids_N), generator=torch.Generator().manual_seed(epoch))]
        yield epoch, order[number * size : (number + 1) * size]


def pretrain(parts: Parts, ids_N: Tensor, steps: int) -> list[float]:
    """Train on the samples ``ids_N`` with the recipe's batch, optimizer, schedule and clipping; the losses."""
    config = parts.config
    parts.encoder.train()
    parts.objective.train()
    optimizer, rate = parts.optimizer(steps)
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    losses = []
    for step, (epoch, ids) in enumerate(batches(ids_N, config.training.batch_size, steps)):
        torch.manual_seed(step)
        loss = parts.loss(parts.data.__getitems__(ids.tolist()), epoch)
        optimizer.zero_grad()
        loss.total.backward()
        if config.training.clip:
            torch.nn.utils.clip_grad_norm_(weights, config.training.clip)
        set_rate(optimizer, rate(step), step / steps)
        optimizer.step()
        after_step(parts.objective, parts.encoder, Progress(step + 1, steps))
        losses.append(float(loss.total.detach()))
    return losses
