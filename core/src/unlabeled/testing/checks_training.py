"""Checks of training: gradients, ranks, state, a loss that falls, features that tell classes apart.

# B samples, D features
"""

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.build import Parts
from unlabeled.contract import Loss, Progress, View
from unlabeled.nn.clock import after_step
from unlabeled.nn.distributed import convert_batchnorm, rank, world
from unlabeled.plugins.registry import registry, use_files
from unlabeled.testing.ranks import run_ranks
from unlabeled.testing.recipes import check_steps
from unlabeled.testing.subject import BATCH, NotApplicable, Subject, difference, ensure, reload, still, subject, weights

STEPS = 20
RANKS = 2
ROUNDING = 1e-4  # relative, of a whole gradient in float32


def _runs(it: Subject) -> Iterator[tuple[str, str | None]]:
    """What to train: every recipe, or the defaults where the domain has none."""
    if not it.recipes:
        yield "the default composition", None
    yield from ((f"recipe {name!r}", name) for name in it.recipes)


def _loss(parts: Parts, views: list[View], seed: int = 1) -> Loss:
    torch.manual_seed(seed)  # of dropout and the like, as the training loop does
    loss: Loss = parts.objective(parts.encoder, views)
    return loss


def _batch(it: Subject, parts: Parts) -> Any:
    """A batch of the data that the recipe reads, which may be another than the default's."""
    return parts.data.__getitems__([number % len(parts.data) for number in it.ids()])


def check_every_parameter_gets_a_gradient(domain: str) -> None:
    """Ensure that every parameter that wants a gradient gets a finite one in every recipe's first steps, for DDP.

    Troubleshooting: freeze what the objective leaves unused in ``Encoder.prepare(needs)``.
    """
    it = subject(domain)
    for _, recipe in _runs(it):
        parts = it.parts(recipe)
        check_steps(parts, [number % len(parts.data) for number in it.ids()])


def check_loss_falls(domain: str) -> None:
    """Ensure that the loss of every recipe falls within 20 steps of AdamW on one batch.

    Teachers, queues and centers stand still (no ``after_step``): against targets that move, a loss may well rise.
    """
    it = subject(domain)
    for who, recipe in _runs(it):
        parts = it.parts(recipe)
        views = parts.prepare(_batch(it, parts), 0, 0)
        losses: list[float] = []
        optimizer = _optimizer(parts)
        while len(losses) < STEPS and not _fallen(losses):
            losses += _train(parts, [views], optimizer, move=False)
        first, last = losses[0], sum(losses[-3:]) / 3
        ensure(last < first, f"the loss of {who} falls in {STEPS} steps", f"{first:.4g} to {last:.4g}")


def _fallen(losses: list[float]) -> bool:
    """Whether three losses on end lie clearly below the first, so that no more steps are needed."""
    return len(losses) > 3 and max(losses[-3:]) < losses[0] - 0.01 * abs(losses[0])


def _optimizer(parts: Parts) -> torch.optim.Optimizer:
    return torch.optim.AdamW(weights(parts.encoder, parts.objective).values(), lr=1e-3, weight_decay=0.0)


def _train(parts: Parts, batches: list[list[View]], optimizer: Any = None, *, move: bool = True) -> list[float]:
    """Losses of AdamW steps; ``move`` says whether the objective's teachers and the like move on."""
    optimizer = optimizer or _optimizer(parts)
    losses = []
    for step, views in enumerate(batches):
        loss = _loss(parts, views)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        if move:
            after_step(parts.objective, parts.encoder, Progress(step + 1, len(batches)))
        losses.append(loss.total.item())
    return losses


def check_state_round_trip(domain: str) -> None:
    """Ensure that encoder and objective, saved after a step and loaded into new ones, give the same next loss.

    Troubleshooting: queues, centers, codebooks and pointers are registered buffers.
    """
    it = subject(domain)
    for who, recipe in _runs(it):
        parts, other = it.parts(recipe), it.parts(recipe, seed=5)
        views = parts.prepare(_batch(it, parts), 0, 0)
        _train(parts, [views])
        reload(parts.encoder, other.encoder)
        reload(parts.objective, other.objective)
        gap = difference(_loss(other, views).total, _loss(parts, views).total, 0.0, "the next loss")
        ensure(not gap, f"{who} goes on from its saved state", gap)


# ------------------------------------------------------------------------------------------------- ranks


def check_ranks_equal_one_rank(domain: str) -> None:
    """Ensure that 2 ranks of B / 2 samples give the loss and the gradient of 1 rank of B, by the default objective.

    Troubleshooting: gather across ranks with ``unlabeled.nn.distributed``; a detached gather has the wrong gradient.
    """
    where = whereabouts(domain)
    one = rank_step(*where)
    several = run_ranks(rank_step, RANKS, *where)
    gap = abs(several[0]["loss"] - one["loss"]) / max(1e-6, abs(one["loss"]))
    ensure(gap < ROUNDING, f"{RANKS} ranks give the loss of one", f"{several[0]['loss']:.6g}, {one['loss']:.6g}")
    gap = float((several[0]["gradient"] - one["gradient"]).norm() / one["gradient"].norm())
    ensure(gap < ROUNDING, f"{RANKS} ranks give the gradient of one", f"a relative difference of {gap:.2g}")


def whereabouts(domain: str) -> tuple[str, str, str]:
    """What another process finds the domain by: its name, and the module and file of its plugin."""
    plugin: Any = subject(domain).found.plugin(domain)
    return domain, getattr(plugin, "__name__", ""), str(getattr(plugin, "__file__", ""))


def found(domain: str, plugin: str, file: str) -> Subject:
    """The domain in another process, where a plugin that is loaded by hand has to be loaded again."""
    if domain not in registry().domains:
        if plugin == f"unlabeled_plugin_{Path(file).stem}":
            use_files([file])  # --plugin FILE
        else:
            registry().add(domain, importlib.import_module(plugin))
    return subject(domain)


def rank_step(domain: str, plugin: str, file: str) -> dict[str, Any]:
    """Loss and gradient of the default composition on this rank's share of a batch, averaged over ranks."""
    it = found(domain, plugin, file)
    parts = it.parts()
    if world() > 1:
        convert_batchnorm(parts.encoder)
        convert_batchnorm(parts.objective)
        still(parts.encoder)
    share = BATCH // world()
    ids = it.ids()[rank() * share : (rank() + 1) * share]
    loss = _loss(parts, parts.prepare(it.batch(ids), 0, 0)).total
    loss.backward()
    learning = weights(parts.encoder, parts.objective).values()
    flat = torch.cat([p.grad.flatten() for p in learning if p.grad is not None] + [loss.detach()[None]])
    if world() > 1:
        torch.distributed.all_reduce(flat)
        flat /= world()
    return {"loss": float(flat[-1]), "gradient": flat[:-1]}


# ------------------------------------------------------------------------------------------------- learning


def check_probe_is_above_chance(domain: str) -> None:
    """Ensure that features after 20 steps of the default recipe tell the default data's classes apart.

    By 5 nearest neighbors, leaving the sample itself out, three deviations above chance.
    """
    it = subject(domain)
    if it.data.labels is None:
        raise NotApplicable("the default data has no labels")
    parts = it.parts()
    batches = [parts.prepare(it.batch(it.ids(first=step)), 0, step) for step in range(STEPS)]
    _train(parts, batches)
    ids = [i for i in it.ids(256) if it.data.labels[i] >= 0]
    encoder = parts.encoder.eval()
    with torch.no_grad():
        x_BD = torch.cat(
            [encoder(it.placed(encoder, it.clean(ids[i : i + 64]))).pooled for i in range(0, len(ids), 64)]
        )
    y_B = it.data.labels[ids]
    accuracy = _neighbors(x_BD, y_B)
    chance = float(torch.bincount(y_B).max()) / len(y_B)
    limit = chance + 3 * math.sqrt(chance * (1 - chance) / len(y_B))
    ensure(accuracy > limit, f"kNN is above {limit:.2f} (chance {chance:.2f})", f"{accuracy:.2f}")


def _neighbors(x_BD: Tensor, y_B: Tensor, k: int = 5) -> float:
    """Accuracy of a vote of the k nearest others by cosine."""
    x_BD = F.normalize(x_BD - x_BD.mean(0))
    similarity = (x_BD @ x_BD.T).fill_diagonal_(-2.0)
    votes = y_B[similarity.topk(k).indices].mode(dim=1).values
    return float((votes == y_B).float().mean())
