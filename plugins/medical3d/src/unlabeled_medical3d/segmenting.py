"""Few-label fine-tuning for voxel segmentation, from the pre-trained encoder and, under the same recipe, from scratch.

``unlabeled medical3d segment RUN --data PATH --volumes 3,6,12,24``. Frozen as ``segment-1``: encoder and head are
trained on random crops (AdamW, weight decay 0.05 on matrices, warm-up over a tenth of the steps, cosine to 0, gradient
norm at most 1, cross-entropy + Dice), and scored on whole test volumes by sliding windows. Nothing is chosen on test.
Both rows see the same volumes, crops and head weights; the first k volumes of a seed are a part of its first 2k. Splits
are by patient wherever the data knows patients.

    # k labeled volumes, K classes, B crops of a step
"""

from __future__ import annotations

import copy
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.build import build_encoder
from unlabeled.checkpoint import write_json
from unlabeled.contract import Data
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import RunError, UsageError, above, within
from unlabeled.finetuning import APART, factor
from unlabeled.probes.embedding import evaluating
from unlabeled.probes.splits import shuffled, split
from unlabeled_medical3d.data import VolumeSpec
from unlabeled_medical3d.voxels import (
    SCORES,
    Segmenter,
    cut_labels,
    mean_scores,
    segmentation_loss,
    slide,
    voxel_scores,
    with_labels,
)

if TYPE_CHECKING:
    from unlabeled.api import Pretrained

SPEC = "segment-1"
FILE = "segment.json"
ROWS = ("from scratch", "pre-trained")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Settings.

    Args:
        volumes: numbers of labeled volumes k, a curve; those beyond the train side are left out.
        seeds: of the labeled volumes, crops, head and scratch weights; a run for each.
        steps: optimizer steps of a run, the same for every k.
        batch_size: crops per step.
        lr: greatest learning rate.
        head: light, a small decoder that also sees the image; linear, one map from a row to its cube.
        frozen: train the head alone.
        jitter: each crop is scaled by 1 +- this and shifted by +- this, in deviations.
        overlap: of neighboring windows at test, in [0, 1).
        tolerance: mm within which a surface counts as found.
        test: most test volumes that are scored; 0 = all.
        device: auto, cpu, cuda, ...
    """

    volumes: tuple[int, ...] = (3, 6, 12, 24)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 300
    batch_size: int = 4
    lr: float = 1e-3
    head: Literal["linear", "light"] = "light"
    frozen: bool = False
    jitter: float = 0.1
    overlap: float = 0.5
    tolerance: float = 1.0
    test: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Curves:
    """Scores by row, k and seed."""

    settings: Segment
    data: str
    regions: tuple[str, ...]
    train: int
    test: int
    scores: dict[str, dict[int, list[dict[str, float]]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``segment.json``."""
        return {"spec": SPEC, **asdict(self)}

    def text(self) -> str:
        """A table for each score, and what it was measured under."""
        counts = sorted(next(iter(self.scores.values())))
        heads = {
            "dice": "Dice %",
            "hd95": "HD95 mm",
            "surface_dice": f"surface Dice % at {self.settings.tolerance:g} mm",
        }
        lines = []
        for name, title in heads.items():
            scale = 1.0 if name == "hd95" else 100.0
            lines.append(f"{title:<26}" + "".join(f"{f'k = {k}':>14}" for k in counts))
            for row, by_count in self.scores.items():
                cells = [_spread([scale * s[name] for s in by_count[k]]) for k in counts]
                lines.append(f"{row:<26}" + "".join(f"{cell:>14}" for cell in cells))
            lines.append("")
        s = self.settings
        lines.append(f"data: {self.data}; {self.train} train, {self.test} test; labels {', '.join(self.regions[1:])}")
        lines.append(
            f"{SPEC}: {s.head} head{', encoder frozen' if s.frozen else ''}, {s.steps} steps of {s.batch_size} crops, "
            f"AdamW lr {s.lr:g}, windows overlap {s.overlap:g}, seeds {', '.join(map(str, s.seeds))}; ± over seeds"
        )
        return "\n".join(lines)


def segment(run: Pretrained, data: Data, *, say: Callable[[str], None] = lambda line: None, **given: Any) -> Curves:
    """Fine-tune ``run`` and a fresh encoder on k labeled volumes each, and score both; writes ``segment.json``."""
    from unlabeled.api import pick_device

    settings = _checked(given)
    assert run.config is not None
    regions = tuple(getattr(data, "regions", ()))
    if len(regions) < 2:
        raise UsageError(f"{data.describe()}: segmentation needs voxel labels, and this data has none")
    device = pick_device(settings.device)
    labeled = with_labels(data, torch.arange(len(data)))
    train, test = (labeled[side] for side in split(data, labeled, 0))
    test = test[: settings.test or len(test)]
    counts = [k for k in sorted(set(settings.volumes)) if k <= len(train)]
    if not counts:
        raise UsageError(f"--volumes {settings.volumes}: train has {len(train)} volumes")
    scores: dict[str, dict[int, list[dict[str, float]]]] = {row: {k: [] for k in counts} for row in ROWS}
    with torch.random.fork_rng():  # the caller's generator stays as it is
        for seed in settings.seeds:
            order = train[shuffled(train, seed)]
            fresh = run.config.with_training(seed=run.config.training.seed + APART + seed)
            for k in counts:
                for row, encoder in zip(ROWS, (build_encoder(fresh, run.spec), run.encoder), strict=True):
                    model = make(encoder, run.spec, len(regions), settings, seed).to(device)
                    fit(model, data, order[:k], settings, seed, device)
                    found = score(model, data, test, settings, device)
                    scores[row][k].append(found)
                    say(f"{row}, k = {k}, seed {seed}: Dice {100 * found['dice']:.1f} %")
    out = Curves(settings, data.describe(), regions, len(train), len(test), scores)
    write_json(run.folder / FILE, out.to_dict())
    return out


def make(encoder: Any, spec: VolumeSpec, classes: int, settings: Segment, seed: int) -> Segmenter:
    """A copy of ``encoder`` under a head whose weights follow from ``seed`` alone."""
    torch.manual_seed(seed)
    model = Segmenter(copy.deepcopy(encoder), spec, classes, settings.head)
    model.encoder.requires_grad_(not settings.frozen)
    return model


def fit(model: Segmenter, data: Any, ids: Tensor, settings: Segment, seed: int, device: str) -> None:
    """Train ``model`` in place on crops of the labeled volumes ``ids[k]``."""
    batch = data.__getitems__(ids.tolist())
    images, masks = [x.to(device) for x in batch.images], [m.to(device) for m in data.masks(batch.ids.tolist())]
    weights = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr)
    model.train()
    if settings.frozen:
        model.encoder.eval()
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * factor(step, settings.steps)
        x, y = crops(images, masks, model.spec.size, settings, seed, step)
        loss = segmentation_loss(model(x), y)
        if not math.isfinite(loss.item()):
            raise RunError(f"fine-tuning diverged in step {step + 1}: the loss is {loss.item()}; lower --lr")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in weights if p.grad is not None], 1.0)
        optimizer.step()


def crops(
    images: Sequence[Tensor], masks: Sequence[Tensor], size: Sequence[int], settings: Segment, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Crops ``[B, C, X, Y, Z]`` and their labels: volumes in turn, places uniform, intensities a little changed."""
    numbers = torch.arange(settings.batch_size) + step * settings.batch_size
    draw = Draw(seed, step, numbers)
    place = draw.uniform(3, Purpose.CROP_PLACE).tolist()
    gain = draw.uniform(2, Purpose.GAIN, -settings.jitter, settings.jitter).tolist()
    found = [
        one_crop(images[n % len(images)], masks[n % len(images)], size, at)
        for n, at in zip(numbers.tolist(), place, strict=True)
    ]
    x = torch.stack([image * (1 + a) + b for (image, _), (a, b) in zip(found, gain, strict=True)])
    return x, torch.stack([labels for _, labels in found])


def one_crop(image: Tensor, mask: Tensor, size: Sequence[int], at: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The crop of ``size`` at a share ``at[3]`` of the room that there is; where the volume is smaller, air around."""
    start: list[int] = []
    pad: list[int] = []
    for axis in range(3):
        room = image.shape[axis + 1] - size[axis]
        start.append(int(at[axis] * (room + 1)) if room >= 0 else -((-room) // 2))
    box = (*start, *size)
    labels = cut_labels(mask, box, size)
    for axis in (2, 1, 0):
        pad += [max(0, -start[axis]), max(0, start[axis] + size[axis] - image.shape[axis + 1])]
    padded = F.pad(image, pad, value=float(image.min())) if any(pad) else image
    low = [max(0, s) for s in start]
    window = [slice(s, s + n) for s, n in zip(low, size, strict=True)]
    return padded[(slice(None), *window)], labels


def score(model: Segmenter, data: Any, ids: Tensor, settings: Segment, device: str) -> dict[str, float]:
    """Mean scores of whole test volumes."""
    found = []
    with evaluating(model):
        for number in ids.tolist():
            batch = data.__getitems__([number])
            (mask,) = data.masks(batch.ids.tolist())
            logits = slide(model, batch.images[0].to(device), model.spec.size, overlap=settings.overlap)
            guess = logits.argmax(0).cpu()
            found.append(voxel_scores(guess, mask, model.spec.spacing, len(data.regions), settings.tolerance))
    scores = mean_scores(found)
    if set(scores) != set(SCORES):
        raise RunError("no test volume has a label: nothing can be scored")
    return scores


def _checked(given: dict[str, Any]) -> Segment:
    try:
        settings = Segment(**given)
        above(0, steps=settings.steps, batch_size=settings.batch_size, lr=settings.lr)
        above(-1, test=settings.test)
        within(0, 0.95, overlap=settings.overlap)
        within(0, 1, jitter=settings.jitter)
    except (TypeError, ValueError) as error:
        raise UsageError(f"segment: {error}") from error
    if not settings.seeds or not settings.volumes or min(settings.volumes) < 1:
        raise UsageError(f"segment: volumes {settings.volumes} and seeds {settings.seeds}: at least one each, k from 1")
    return settings


def _spread(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)):.1f}"


def segment_command(domain: str, words: list[str]) -> int:
    """``unlabeled medical3d segment RUN --data PATH``"""
    from unlabeled.api import load
    from unlabeled.cli.flags import Flag, read, render
    from unlabeled.config import together
    from unlabeled.settings import read_signature

    settings = read_signature("unlabeled_medical3d.segmenting", "Segment").settings
    own = [Flag(s.name.replace("_", "-"), s.type, s.help, s.default) for s in settings]
    flags = [
        Flag("data", str, "a path or a data set's name; the run's own data if not given", metavar="PATH|NAME"),
        Flag("json", bool, "print JSON instead of the table", False),
        *own,
    ]
    usage = f"unlabeled {domain} segment RUN [--data PATH] [flags]"
    if any(word in ("-h", "--help") for word in words):
        print(
            render(usage, "Voxel segmentation from k labeled volumes, pre-trained beside scratch; segment.json.", flags)
        )
        return 0
    typed = read(words, flags)
    if len(typed.words) != 1:
        typed.errors.append(f"give one run folder, found {len(typed.words)}: {usage}")
    if typed.errors:
        raise UsageError(together(typed.errors))
    run = load(typed.words[0])
    if run.domain != domain or run.config is None:
        raise UsageError(f"{typed.words[0]} is no run folder of {domain}")
    given = {f.name.replace("-", "_"): typed[f.name] for f in own if typed[f.name] is not None}
    found = segment(run, run.data(typed["data"]), say=lambda line: print(line, file=sys.stderr, flush=True), **given)
    print(json.dumps(found.to_dict(), indent=2) if typed["json"] else found.text())
    return 0
