"""Train a recipe as it stands for some steps, without a run's folder and callbacks: what tests of learning share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unlabeled.build import Parts, construct
from unlabeled.contract import Progress, after_step
from unlabeled.training.optimizers import parameter_groups


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
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(config.component("optimizer"), config.parts["optimizer"].settings, {"groups": groups})
    rate: Any = construct(config.component("schedule"), config.parts["schedule"].settings, {"steps": steps})
    base, losses = [group["lr"] for group in optimizer.param_groups], []
    for step, (epoch, ids) in enumerate(batches(ids_N, config.training.batch_size, steps)):
        torch.manual_seed(step)
        views = parts.prepare(parts.data.__getitems__(ids.tolist()), config.training.seed, epoch)
        loss = parts.objective(parts.encoder, views)
        optimizer.zero_grad()
        loss.total.backward()
        if config.training.clip:
            torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], config.training.clip)
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * rate(step)
        optimizer.step()
        after_step(parts.objective, parts.encoder, Progress(step + 1, steps))
        losses.append(float(loss.total.detach()))
    return losses
