"""Fine-tuning: weights on labels, from the pre-trained encoder and, under the same recipe, from scratch.

Frozen as ``finetune-1``: AdamW (weight decay 0.05 on matrices), warm-up over a tenth of the steps and cosine to 0, a
linear head on the pooled features that starts at 0, cross-entropy, gradient norm at most 1, the last epoch's weights.
Settings beside the defaults are named under the table. Nothing is chosen on test: early stopping reads a val side, the
data's own or a part of train in whole groups. Both rows see the same split, batches and draws; the scratch row has
fresh weights by seed.

    # B samples, N samples of a side, D features, K classes
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.build import build_untrained, make
from unlabeled.contract import Batch, Data, View, Views
from unlabeled.draw import Draw
from unlabeled.errors import RunError, UsageError, above
from unlabeled.probes.embedding import batches, evaluating, take
from unlabeled.probes.splits import held_out, shuffled, split
from unlabeled.runs.folder import write_json
from unlabeled.runs.pretrained import Pretrained, pick_device
from unlabeled.runs.tuned import Head, check_out, save_tuned
from unlabeled.runs.tuning import add_lora, check_lora, freeze, groups, train_mode

SPEC = "finetune-1"
FILE = "finetune.json"
APART = 2000  # seeds of the scratch weights stand this far from the run's own, and from those of probes
ORDER = 100  # views of the addressed order: apart from those of the splits
VAL_SHARE = 0.1  # of train, for early stopping where the data has no val side


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Settings.

    Args:
        epochs: passes over the labeled train side.
        batch_size: samples per step.
        lr: greatest learning rate.
        out: new folder that keeps the tuned model of the first seed, a run for embed, predict, export; none = not kept.
        head_lr: greatest learning rate of the head; 0 = lr.
        layer_decay: factor on the rate for each layer below the head, in (0, 1].
        freeze: all = the head alone learns; a number = the first layers, and what lies before, stay; or none.
        patience: epochs without a better val accuracy after which to stop and keep the best; 0 = the last epoch's.
        lora_rank: rank of adapters that learn in place of Linear layers' weights, merged in at the end; 0 = none.
        views: what the encoder is trained on, by name; empty = the clean views, without augmentation.
        seeds: of split, order, views and scratch weights; a run for each.
        workers: processes that read data.
        device: auto, cpu, cuda, ...
    """

    epochs: int = 20
    batch_size: int = 64
    lr: float = 1e-3
    out: Path | None = None
    head_lr: float = 0.0
    layer_decay: float = 1.0
    freeze: str = "none"
    patience: int = 0
    lora_rank: int = 0
    views: str = ""
    seeds: tuple[int, ...] = (0,)
    workers: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Outcome:
    """Test accuracies by row and seed, in [0, 1], and what they stand on."""

    settings: Finetune
    data: str
    train: int
    test: int
    classes: int
    accuracy: dict[str, list[float]] = field(default_factory=dict)
    chance: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The content of ``finetune.json``."""
        found = {"spec": SPEC, **asdict(self)}
        return found | {"settings": _plain(self.settings)}

    def text(self) -> str:
        """The table, and what it was measured under."""
        rows = [("chance", f"{100 * self.chance:.1f}")]
        rows += [(name, _spread(values)) for name, values in self.accuracy.items()]
        width = max(len(name) for name, _ in rows)
        s = self.settings
        return "\n".join(
            [
                f"{'fine-tuned':<{width}}  test accuracy %",
                *(f"{name:<{width}}  {value:>15}" for name, value in rows),
                "",
                f"data: {self.data}; {self.train} train, {self.test} test, {self.classes} classes",
                f"{SPEC}: AdamW lr {s.lr:g}, {s.epochs} epochs, batch {s.batch_size}, views {s.views or 'clean'}, "
                f"seeds {', '.join(map(str, s.seeds))}{_beside(s)}",
                *([f"saved {s.out}: the model of seed {s.seeds[0]}"] if s.out else []),
            ]
        )


def finetune(run: Pretrained, data: Data, *, say: Callable[[str], None] = lambda line: None, **given: Any) -> Outcome:
    """Fine-tune ``run`` on the labels of ``data``; ``given`` are settings of :class:`Finetune`."""
    settings = _checked(given)
    assert run.config is not None
    ids, classes = _labeled(data)
    device = pick_device(settings.device)
    views = _views(run, settings.views)
    scores: dict[str, list[float]] = {"from scratch": [], "pre-trained": []}
    sides = split(data, ids, settings.seeds[0])
    with torch.random.fork_rng():  # the caller's generator stays as it is
        for seed in settings.seeds:
            fresh = run.config.with_training(seed=run.config.training.seed + APART + seed)
            scratch = build_untrained(fresh, run.spec, run.encoder)
            for name, encoder in (("from scratch", scratch), ("pre-trained", run.encoder)):
                say(f"fine-tuning {name}, seed {seed}")
                train, test = (ids[side] for side in split(data, ids, seed))
                model = _Classifier(copy.deepcopy(encoder), classes).to(device)
                fit(model, data, (views, run.views), train, settings, seed, device)
                scores[name].append(score(model, data, run.views, test, settings, device))
                if settings.out and name == "pre-trained" and seed == settings.seeds[0]:
                    tuned = model
    assert data.labels is not None
    train, test = (data.labels[ids[side]] for side in sides)
    chance = float((test == train.mode().values).float().mean())
    out = Outcome(settings, data.describe(), len(train), len(test), classes, scores, chance)
    write_json(run.folder / FILE, out.to_dict())
    if settings.out:
        _keep(settings.out, run, tuned, data, out)
    return out


class _Classifier(nn.Module):
    """An encoder and a linear head on its pooled features."""

    def __init__(self, encoder: Any, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, view: View) -> Tensor:
        logits_BK: Tensor = self.head(self.encoder(view).pooled)
        return logits_BK


def fit(
    model: _Classifier,
    data: Data,
    views: tuple[Views, Views],
    ids: Tensor,
    settings: Finetune,
    seed: int,
    device: str,
) -> None:
    """Train ``model`` in place on samples ``ids[N]``; ``views`` to train on, and clean ones for the val side."""
    ids, val = _with_val(data, ids, seed) if settings.patience else (ids, ids[:0])
    size = min(settings.batch_size, len(ids))
    steps = settings.epochs * (len(ids) // size)
    torch.manual_seed(seed)
    lora = add_lora(model.encoder, settings.lora_rank) if settings.lora_rank else None
    model.to(device)
    freeze(model.encoder, settings.freeze)
    head_scale = settings.head_lr / settings.lr if settings.head_lr else 1.0
    optimizer = torch.optim.AdamW(
        groups(model.encoder, model.head, layer_decay=settings.layer_decay, head_scale=head_scale), lr=settings.lr
    )
    best, best_at, kept, step = -1.0, 0, None, 0
    for epoch in range(settings.epochs):
        step = _pass(model, data, views[0], ids, settings, (seed, epoch, step, steps), optimizer, device)
        if not settings.patience:
            continue
        found = score(model, data, views[1], val, settings, device)
        if found > best:
            best, best_at, kept = found, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_at >= settings.patience:
            break
    if kept is not None:
        model.load_state_dict(kept)
    if lora is not None:
        model.encoder = lora.merge_and_unload()


def _pass(
    model: _Classifier,
    data: Data,
    views: Views,
    ids: Tensor,
    settings: Finetune,
    place: tuple[int, int, int, int],
    optimizer: torch.optim.Optimizer,
    device: str,
) -> int:
    """One epoch; the number of steps done. ``place`` is seed, epoch, steps done before, and steps of all epochs."""
    assert data.labels is not None
    seed, epoch, step, steps = place
    size = min(settings.batch_size, len(ids))
    train_mode(model)
    for batch in _epoch(data, ids, size, settings.workers, seed, epoch):
        if len(batch) < min(2, size):  # the others of it could not be read, and BatchNorm needs two
            continue
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * group["scale"] * factor(step, steps)
        view = views(batch.to(device), Draw(seed, epoch, batch.ids.to(device)))[0].clean()
        loss = F.cross_entropy(model(view), data.labels[batch.ids.cpu()].to(device))
        if not math.isfinite(loss.item()):
            raise RunError(f"fine-tuning diverged in epoch {epoch + 1}: the loss is {loss.item()}; lower --lr")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0)
        optimizer.step()
        step += 1
    return step


def _with_val(data: Data, ids: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Samples to train on and the val side: the data's own, or a part of train, whole groups of it."""
    assert data.labels is not None
    val = getattr(data, "val", None)
    if val is not None and bool((own := val & (data.labels >= 0)).any()):
        return ids, torch.nonzero(own)[:, 0]
    rest, held = held_out(data, ids, seed, VAL_SHARE)
    if not len(held):
        raise UsageError(f"finetune: patience needs a val side, and {len(ids)} samples of train are too few for one")
    return ids[rest], ids[held]


def _keep(out: Path, run: Pretrained, model: _Classifier, data: Data, found: Outcome) -> None:
    """Write the tuned model as a run folder."""
    names = tuple(map(str, data.classes)) or tuple(map(str, range(found.classes)))
    accuracy = found.accuracy["pre-trained"][0]
    origin = {"spec": SPEC, "data": found.data, "settings": _plain(found.settings), "test_accuracy": accuracy}
    model.cpu()
    save_tuned(out, run, model.encoder, Head(model.head, names[: found.classes]), origin)


def _plain(settings: Finetune) -> dict[str, Any]:
    return asdict(settings) | {"out": None if settings.out is None else str(settings.out)}


def _beside(settings: Finetune) -> str:
    """Settings of how the encoder is tuned that are not the defaults."""
    names = ("head_lr", "layer_decay", "freeze", "patience", "lora_rank")
    changed = [f.name for f in fields(settings) if f.name in names and getattr(settings, f.name) != f.default]
    return "".join(f", {name.replace('_', ' ')} {getattr(settings, name)}" for name in changed)


def factor(step: int, steps: int) -> float:
    """On the learning rate: linear over the first tenth of ``steps``, then cosine to 0."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def score(model: _Classifier, data: Data, views: Views, ids: Tensor, settings: Finetune, device: str) -> float:
    """Share of samples ``ids[N]`` that are classified right."""
    assert data.labels is not None
    right = total = 0
    with evaluating(model):
        for batch in batches(data, ids, batch_size=256, workers=settings.workers):
            logits = model(take(views, batch.to(device), 1, 0)[0])
            y = data.labels[batch.ids.cpu()]
            right += int((logits.argmax(1).cpu() == y).sum())
            total += int((y >= 0).sum())
    return right / max(1, total)


def _epoch(data: Data, ids: Tensor, size: int, workers: int, seed: int, epoch: int) -> Iterator[Batch]:
    order = shuffled(ids, seed, view=ORDER + epoch)
    whole = order[: len(order) // size * size]  # BatchNorm would fail on a last batch of one
    return batches(data, ids[whole], batch_size=size, workers=workers)


def _checked(given: dict[str, Any]) -> Finetune:
    try:
        given = given | {"out": Path(given["out"]) if given.get("out") else None}
        settings = Finetune(**given)
        above(0, epochs=settings.epochs, batch_size=settings.batch_size, lr=settings.lr)
        _in_range(settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"finetune: {error}") from error
    if not settings.seeds:
        raise UsageError("finetune: no seeds; give at least one")
    check_lora(settings.lora_rank)
    if settings.out is not None:
        check_out(settings.out)
    return settings


def _in_range(settings: Finetune) -> None:
    for name in ("head_lr", "patience", "lora_rank"):
        if not getattr(settings, name) >= 0:
            raise ValueError(f"{name} is {getattr(settings, name)}; it must be at least 0")
    if not 0 < settings.layer_decay <= 1:
        raise ValueError(f"layer_decay is {settings.layer_decay}; it must be in (0, 1]")
    if settings.lora_rank and settings.freeze != "none":
        raise ValueError("lora_rank holds all weights but its adapters: leave freeze out")


def _labeled(data: Data) -> tuple[Tensor, int]:
    """Samples that have a label, and the number of classes."""
    labels = data.labels
    if labels is None or len(labels[labels >= 0].unique()) < 2:
        raise UsageError(f"{data.describe()}: fine-tuning needs labels of two classes or more")
    return torch.nonzero(labels >= 0)[:, 0], int(labels.max()) + 1


def _views(run: Pretrained, name: str) -> Views:
    views: Views = make(run.domain, "views", name, {}, {"spec": run.spec}) if name else run.views
    return views


def _spread(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{100 * mean:.1f}"
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return f"{100 * mean:.1f} ± {100 * spread:.1f}"
