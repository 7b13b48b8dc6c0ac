"""Fine-tuning: weights on labels or targets, from the pre-trained encoder and, under the same recipe, from scratch.

Frozen as ``finetune-1``: AdamW (weight decay 0.05 on matrices), warm-up over a tenth of the steps and cosine to 0, a
linear head on the pooled features that starts at 0, the loss of the task, gradient norm at most 1, the last epoch's
weights. Settings beside the defaults are named under the table. Nothing is chosen on test: early stopping reads a val
side, the data's own or a part of train in whole groups. Both rows see the same split, batches and draws; the scratch
row has fresh weights by seed.

    # N samples
"""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.build import build_untrained, make
from unlabeled.contract import Data, Views
from unlabeled.errors import UsageError, above
from unlabeled.nn.chance import undisturbed
from unlabeled.probes.splits import split
from unlabeled.runs.fit import Tuned, Work, fit, score
from unlabeled.runs.fit import factor as factor
from unlabeled.runs.folder import write_json
from unlabeled.runs.outcome import Outcome
from unlabeled.runs.pretrained import Pretrained, pick_device
from unlabeled.runs.task import Task, task_of
from unlabeled.runs.tuned import Head, check_out, save_tuned
from unlabeled.runs.tuning import check_lora

SPEC = "finetune-1"
FILE = "finetune.json"
APART = 2000  # seeds of the scratch weights stand this far from the run's own, and from those of probes
BESIDE = ("head_lr", "layer_decay", "freeze", "patience", "lora_rank")  # named under the table where they are changed


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Settings.

    Args:
        learn: labels, the classes; targets, several labels or numbers; auto = classes where the data has them, or which
            choice of a question is right.
        epochs: passes over the labeled train side.
        batch_size: samples per step, or questions.
        lr: greatest learning rate.
        out: new folder that keeps the tuned model of the first seed, a run for embed, predict, export; none = not kept.
        head_lr: greatest learning rate of the head; 0 = lr.
        layer_decay: factor on the rate for each layer below the head, in (0, 1].
        freeze: all = the head alone learns; a number = the first layers, and what lies before, stay; or none.
        patience: epochs without better numbers on val after which to stop and keep the best; 0 = the last epoch's.
        lora_rank: rank of adapters that learn in place of Linear layers' weights, merged in at the end; 0 = none.
        views: what the encoder is trained on, by name; empty = the clean views, without augmentation.
        seeds: of split, order, views and scratch weights; a run for each.
        workers: processes that read data.
        device: auto, cpu, cuda, ...
    """

    learn: Literal["auto", "labels", "targets"] = "auto"
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


def finetune(run: Pretrained, data: Data, *, say: Callable[[str], None] = lambda line: None, **given: Any) -> Outcome:
    """Fine-tune ``run`` on the labels or targets of ``data``; ``given`` are settings of :class:`Finetune`."""
    settings = _checked(given)
    task, device = task_of(data, settings.learn), pick_device(settings.device)
    on = Work(data, task, _views(run, settings.views), run.views, settings, device)
    ids = torch.nonzero(task.known)[:, 0]
    scores, tuned = _rows(run, on, ids, say)
    train, test = (ids[side] for side in split(data, ids, settings.seeds[0]))
    notes = [f"saved {settings.out}: the model of seed {settings.seeds[0]}"] if settings.out else []
    if task.kind == "classes" and getattr(data, "targets", None) is not None and settings.learn == "auto":
        notes.append("the data has targets beside its classes: --learn targets learns those")
    sizes = (data.describe(), len(train), len(test))
    out = Outcome(SPEC, _plain(settings), _under(settings), *sizes, task.names, task.kind, scores,
                  task.chance(train, test), notes)  # fmt: skip
    write_json(run.folder / FILE, out.to_dict())
    if settings.out:
        _keep(settings.out, run, tuned, task, out)
    return out


def _rows(
    run: Pretrained, on: Work, ids: Tensor, say: Callable[[str], None]
) -> tuple[dict[str, dict[str, list[float]]], Tuned]:
    """Scores on test by number, row and seed; the pre-trained row's model of the first seed."""
    assert run.config is not None
    settings, scores, kept = on.settings, dict[str, dict[str, list[float]]](), list[Tuned]()
    with undisturbed(on.device):  # the caller's generator stays as it is
        for seed in settings.seeds:
            fresh = run.config.with_training(seed=run.config.training.seed + APART + seed)
            scratch = build_untrained(fresh, run.spec, run.encoder)
            for name, encoder in (("from scratch", scratch), ("pre-trained", run.encoder)):
                say(f"fine-tuning {name}, seed {seed}")
                train, test = (ids[side] for side in split(on.data, ids, seed))
                model = Tuned(copy.deepcopy(encoder), len(on.task.names)).to(on.device)
                fit(model, on, train, seed)
                for number, value in score(model, on, test).items():
                    scores.setdefault(number, {}).setdefault(name, []).append(value)
                if name == "pre-trained" and not kept:
                    kept.append(model)
    return scores, kept[0]


def _keep(out: Path, run: Pretrained, model: Tuned, task: Task, found: Outcome) -> None:
    """Write the tuned model as a run folder."""
    numbers = {f"test_{name}": by_row["pre-trained"][0] for name, by_row in found.scores.items()}
    origin = {"spec": SPEC, "data": found.data, "settings": found.settings, **numbers}
    model.cpu()
    save_tuned(out, run, model.encoder, Head(model.head, task.names, task.kind), origin)


def _plain(settings: Finetune) -> dict[str, Any]:
    return asdict(settings) | {"out": None if settings.out is None else str(settings.out)}


def _under(s: Finetune) -> str:
    """Settings in words: those of how the encoder is tuned where they are not the defaults."""
    changed = [f.name for f in fields(s) if f.name in BESIDE and getattr(s, f.name) != f.default]
    beside = "".join(f", {name.replace('_', ' ')} {getattr(s, name)}" for name in changed)
    return (
        f"AdamW lr {s.lr:g}, {s.epochs} epochs, batch {s.batch_size}, views {s.views or 'clean'}, "
        f"seeds {', '.join(map(str, s.seeds))}{beside}"
    )


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


def _views(run: Pretrained, name: str) -> Views:
    views: Views = make(run.domain, "views", name, {}, {"spec": run.spec}) if name else run.views
    return views
