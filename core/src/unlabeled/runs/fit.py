"""The training of an encoder and a linear head on targets: AdamW, warm-up and cosine, early stopping on a val side.

# B samples of a batch, N samples of a side, D features, K outputs
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unlabeled.contract import Batch, Data, View, Views
from unlabeled.draw import Draw
from unlabeled.errors import RunError, UsageError
from unlabeled.probes.embedding import batches, evaluating, take
from unlabeled.probes.splits import held_out, shuffled
from unlabeled.runs.task import Task
from unlabeled.runs.tuning import add_lora, freeze, groups, train_mode

ORDER = 100  # views of the addressed order: apart from those of the splits
VAL_SHARE = 0.1  # of train, for early stopping where the data has no val side


class Settings(Protocol):
    """What of :class:`unlabeled.runs.finetune.Finetune` is read here."""

    epochs: int
    batch_size: int
    lr: float
    head_lr: float
    layer_decay: float
    freeze: str
    patience: int
    lora_rank: int
    workers: int


@dataclass(frozen=True)
class Work:
    """What is trained on: ``views`` augment, ``clean`` are for scores."""

    data: Data
    task: Task
    views: Views
    clean: Views
    settings: Any
    device: str


class Tuned(nn.Module):
    """An encoder and a linear head on its pooled features, which starts at 0."""

    def __init__(self, encoder: Any, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, view: View) -> Tensor:
        out_BK: Tensor = self.head(self.encoder(view).pooled)
        return out_BK


def fit(model: Tuned, on: Work, ids: Tensor, seed: int) -> None:
    """Train ``model`` in place on samples ``ids[N]``; its outputs are then in the targets' own units."""
    settings: Settings = on.settings
    ids, val = with_val(on, ids, seed) if settings.patience else (ids, ids[:0])
    units = on.task.units(ids)
    torch.manual_seed(seed)
    lora = add_lora(model.encoder, settings.lora_rank) if settings.lora_rank else None
    model.to(on.device)
    freeze(model.encoder, settings.freeze)
    scale = settings.head_lr / settings.lr if settings.head_lr else 1.0
    chosen = groups(model.encoder, model.head, layer_decay=settings.layer_decay, head_scale=scale)
    optimizer = torch.optim.AdamW(chosen, lr=settings.lr)
    best, best_at, kept, step = -math.inf, 0, None, 0
    for epoch in range(settings.epochs):
        step = _epoch(model, on, ids, units, (seed, epoch, step), optimizer)
        if not settings.patience:
            continue
        found = on.task.better(score(model, on, val, units))
        if kept is None or found > best:
            best, best_at, kept = found, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_at >= settings.patience:
            break
    if kept is not None:
        model.load_state_dict(kept)
    if lora is not None:
        model.encoder = lora.merge_and_unload()
    with torch.no_grad():
        mean, spread = (x.to(on.device) for x in units)
        model.head.weight.mul_(spread[:, None])
        model.head.bias.mul_(spread).add_(mean)


def _epoch(
    model: Tuned,
    on: Work,
    ids: Tensor,
    units: tuple[Tensor, Tensor],
    place: tuple[int, int, int],
    optimizer: torch.optim.Optimizer,
) -> int:
    """One epoch; the number of steps done. ``place`` is seed, epoch, and steps done before."""
    (seed, epoch, step), settings = place, on.settings
    size = min(settings.batch_size, len(ids))
    steps = settings.epochs * (len(ids) // size)
    train_mode(model)
    for batch in _in_order(on, ids, size, seed, epoch):
        if len(batch) < min(2, size):  # the others of it could not be read, and BatchNorm needs two
            continue
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * group["scale"] * factor(step, steps)
        view = on.views(batch.to(on.device), Draw(seed, epoch, batch.ids.to(on.device)))[0].clean()
        loss = on.task.loss(model(view), batch.ids.cpu(), units)
        if not math.isfinite(loss.item()):
            raise RunError(f"fine-tuning diverged in epoch {epoch + 1}: the loss is {loss.item()}; lower --lr")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0)
        optimizer.step()
        step += 1
    return step


def with_val(on: Work, ids: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Samples to train on and the val side: the data's own, or a part of train, whole groups of it."""
    val = getattr(on.data, "val", None)
    if val is not None and bool((own := val & on.task.known).any()):
        return ids, torch.nonzero(own)[:, 0]
    rest, held = held_out(on.data, ids, seed, VAL_SHARE)
    if not len(held):
        raise UsageError(f"finetune: patience needs a val side, and {len(ids)} samples of train are too few for one")
    return ids[rest], ids[held]


def factor(step: int, steps: int) -> float:
    """On the learning rate: linear over the first tenth of ``steps``, then cosine to 0."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def score(model: Tuned, on: Work, ids: Tensor, units: tuple[Tensor, Tensor] | None = None) -> dict[str, float]:
    """Scores on those of the samples ``ids[N]`` that can be read; ``units`` where outputs are not in their own yet."""
    out, read = [], []
    with evaluating(model):
        size = max(1, 256 // on.task.width) * on.task.width
        for batch in batches(on.data, on.task.read(ids), batch_size=size, workers=on.settings.workers):
            out.append(model(take(on.clean, batch.to(on.device), 1, 0)[0]).float().cpu())
            read.append(batch.ids.cpu())
    if not read:
        raise UsageError(f"{on.data.describe()}: none of the {len(ids)} samples to score on can be read")
    out_NK = torch.cat(out)
    return on.task.scores(out_NK if units is None else out_NK * units[1] + units[0], torch.cat(read))


def _in_order(on: Work, ids: Tensor, size: int, seed: int, epoch: int) -> Iterator[Batch]:
    order = shuffled(ids, seed, view=ORDER + epoch)
    whole = order[: len(order) // size * size]  # BatchNorm would fail on a last batch of one
    read = on.task.read(whole)
    return batches(on.data, read, batch_size=size * on.task.width, workers=on.settings.workers)
