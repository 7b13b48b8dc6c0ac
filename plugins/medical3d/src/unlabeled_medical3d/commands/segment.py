"""Few-label fine-tuning for voxel segmentation, from the pre-trained weights and, under the same recipe, from scratch.

``unlabeled medical3d segment RUN --data PATH --volumes 3,6,12,24``. Frozen as ``segment-3``: encoder and head are
trained on random crops (AdamW, weight decay 0.05 on matrices, warm-up over a tenth of the steps, cosine to 0, gradient
norm at most 1, cross-entropy + Dice; scores start at the log of each class's share of the labeled voxels), and scored
on whole test volumes by sliding windows. Of several learning rates, each row takes the one that does best on train
volumes outside its k; nothing is chosen on test. Where pre-training trained the upward half of a U-Net too, the
pre-trained row starts from both halves (Models Genesis, Volume Fusion, regions).
Both rows see the same volumes, crops and first weights of what pre-training left out; the first k volumes of a seed
are a part of its first 2k. Splits are by patient wherever the data knows patients.

    # k labeled volumes, K classes, B crops of a step
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.build import build_untrained
from unlabeled.contract import Data
from unlabeled.data.readable import note
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import RunError, UsageError, above, at_least, within
from unlabeled.nn.chance import undisturbed
from unlabeled.probes.embedding import evaluating
from unlabeled.probes.splits import shuffled, split
from unlabeled.runs.finetune import APART, factor
from unlabeled.runs.folder import LAST, write_json
from unlabeled.runs.launch import Say, quiet
from unlabeled.runs.tuned import check_out
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.commands.predict import save_segmenter
from unlabeled_medical3d.ops.segmentation import (
    SCORES,
    Segmenter,
    cut_labels,
    mean_scores,
    merged_regions,
    region_scores,
    segmentation_loss,
    slide,
    with_labels,
)

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained

SPEC = "segment-3"
FILE = "segment.json"
ROWS = ("from scratch", "pre-trained")
HALF = "objective.painter.up."  # where a checkpoint has the upward half
LAST_LAYER = "output_block."
Volumes = dict[str, dict[str, dict[str, float]]]  # of each volume, of each region: Dice, HD95, surface Dice


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Settings.

    Args:
        volumes: numbers of labeled volumes k, a curve; those beyond the train side are left out.
        seeds: of the labeled volumes, crops, head and scratch weights; a run for each.
        steps: optimizer steps of a run, the same for every k.
        batch_size: crops per step.
        lr: greatest learning rate; of several, each row takes the one that does best on validation volumes.
        validation: train volumes outside the k that learning rates are chosen on, by the first seed, at the middle k.
        head: unet, skips of every stage, where the encoder has stages; light, a small decoder that also sees the image;
            linear, one map from a row to its cube; auto = unet where it can be, else light.
        decoder: start from the pre-trained decoder too, where the run has trained a unet's.
        frozen: train the head alone.
        jitter: each crop is scaled by 1 +- this and shifted by +- this, in deviations.
        overlap: of neighboring windows at test, in [0, 1).
        tolerance: mm within which a surface counts as found.
        test: most test volumes that are scored; 0 = all.
        merged: unions of labels that the table has rows of too, such as whole=1+2+4 or core=necrosis+enhancing.
        out: a new folder for the pre-trained row's network of the greatest k and the first seed, which predict takes.
        precision: of forward passes, 32 or bf16.
        device: auto, cpu, cuda, ...
    """

    volumes: tuple[int, ...] = (3, 6, 12, 24)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 300
    batch_size: int = 4
    lr: tuple[float, ...] = (3e-3,)
    validation: int = 20
    head: Literal["auto", "unet", "light", "linear"] = "auto"
    decoder: bool = True
    frozen: bool = False
    jitter: float = 0.1
    overlap: float = 0.5
    tolerance: float = 1.0
    test: int = 0
    merged: tuple[str, ...] = ()
    out: str = ""
    precision: Literal["32", "bf16"] = "32"
    device: str = "auto"

    def __post_init__(self) -> None:
        above(0, steps=self.steps, batch_size=self.batch_size, validation=self.validation)
        above(0, **{f"lr {n}": rate for n, rate in enumerate(self.lr)})
        at_least(0, test=self.test)
        within(0, 0.95, overlap=self.overlap)
        within(0, 1, jitter=self.jitter)
        if not self.lr or not self.seeds or not self.volumes or min(self.volumes) < 1:
            raise ValueError(f"volumes {self.volumes}, seeds {self.seeds}, lr {self.lr}: at least one each, k from 1")

    def autocast(self, device: str) -> torch.autocast:
        """What forward passes run under."""
        return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.precision == "bf16")


@dataclass(frozen=True)
class Curves:
    """Scores by row, k and seed; by row, the learning rate that it took, and the validation Dice of those it tried.

    ``volumes``: by row and k, the scores of each region of each test volume, mean over seeds.
    """

    settings: Segment
    data: str
    regions: tuple[str, ...]
    train: int
    test: int
    scores: dict[str, dict[int, list[dict[str, float]]]] = field(default_factory=dict)
    volumes: dict[str, dict[int, Volumes]] = field(default_factory=dict)
    lr: dict[str, float] = field(default_factory=dict)
    tried: dict[str, dict[str, float]] = field(default_factory=dict)

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
        lines += self._by_region(counts[-1])
        s = self.settings
        rates = " and ".join(f"{rate:g} ({row})" for row, rate in self.lr.items()) or f"{s.lr[0]:g}"
        lines.append(f"data: {self.data}; {self.train} train, {self.test} test; labels {', '.join(self.regions[1:])}")
        lines.append(
            f"{SPEC}: {s.head} head{', encoder frozen' if s.frozen else ''}, {s.steps} steps of {s.batch_size} crops, "
            f"AdamW lr {rates}, windows overlap {s.overlap:g}, seeds {', '.join(map(str, s.seeds))}; ± over seeds"
        )
        return "\n".join(lines)

    def _by_region(self, count: int) -> list[str]:
        """Each region's scores at the greatest k, with their deviation over volumes."""
        if not self.volumes:
            return []
        columns = {"dice": ("Dice %", 100.0), "hd95": ("HD95 mm", 1.0)}
        head = f"each region, k = {count}; ± over volumes"
        lines = [f"{head:<42}" + "".join(f"{title:>16}" for title, _ in columns.values()) + f"{'volumes':>10}"]
        for row, by_count in self.volumes.items():
            found = list(by_count[count].values())
            for region in dict.fromkeys(name for volume in found for name in volume):
                scored = [volume[region] for volume in found if region in volume]
                cells = [_spread([scale * s[name] for s in scored]) for name, (_, scale) in columns.items()]
                lines.append(f"{row:<16}{region:<26}" + "".join(f"{cell:>16}" for cell in cells) + f"{len(scored):>10}")
        return [*lines, ""]


def segment(run: Pretrained, data: Data, say: Say, settings: Segment) -> Curves:
    """Voxel segmentation from k labeled volumes, pre-trained beside scratch; segment.json."""
    return curves(run, data, settings, say=say)


def curves(
    run: Pretrained, data: Data, settings: Segment, *, rates: Mapping[str, float] | None = None, say: Say = quiet
) -> Curves:
    """Fine-tune ``run`` and a fresh encoder on k labeled volumes each, and score both; writes ``segment.json``.

    ``rates``: the learning rate of each row, as another call has found them; none is then tried.
    """
    from unlabeled.api import run_of
    from unlabeled.runs.pretrained import pick_device

    run, config = run_of(run)
    regions = tuple(getattr(data, "regions", ()))
    if len(regions) < 2:
        raise UsageError(f"{data.describe()}: segmentation needs voxel labels, and this data has none")
    if settings.out:
        check_out(Path(settings.out))
    device = pick_device(settings.device)
    labeled = with_labels(data, torch.arange(len(data)))
    train, test = (labeled[side] for side in split(data, labeled, 0))
    test = test[: settings.test or len(test)]
    counts = [k for k in sorted(set(settings.volumes)) if k <= len(train)]
    if not counts:
        raise UsageError(f"--volumes {settings.volumes}: train has {len(train)} volumes")
    beyond = sorted(set(settings.volumes) - set(counts))
    if beyond:
        say(f"--volumes {', '.join(map(str, beyond))} left out: train has {len(train)} labeled volumes")
    trying = ROWS if len(settings.lr) > 1 and rates is None else ()
    if trying and max(counts) + settings.validation > len(train):
        raise UsageError(f"--validation {settings.validation}: train has {len(train)} volumes, {max(counts)} are taken")
    asked = {name: (n,) for n, name in enumerate(regions) if n} | merged_regions(settings.merged, regions)
    given_decoder = decoder_of(run) if settings.decoder else {}
    scores: dict[str, dict[int, list[dict[str, float]]]] = {row: {k: [] for k in counts} for row in ROWS}
    volumes: dict[str, dict[int, list[Volumes]]] = {row: {k: [] for k in counts} for row in ROWS}
    tried: dict[str, dict[str, float]] = {}
    chosen = dict.fromkeys(ROWS, settings.lr[0]) | dict(rates or {})

    def model_of(row: str, seed: int) -> Segmenter:
        fresh = config.with_training(seed=config.training.seed + APART + seed)
        known = row == ROWS[1]
        encoder = run.encoder if known else build_untrained(fresh, run.spec, run.encoder)
        return make(encoder, run.spec, len(regions), settings, seed, given_decoder if known else {}).to(device)

    with undisturbed(device):  # the caller's generator stays as it is
        for row in trying:
            k = counts[(len(counts) - 1) // 2]
            tried[row] = _try_rates(partial(model_of, row), data, train, k, settings, device)
            for rate, dice in tried[row].items():
                say(f"{row}, k = {k}, lr {rate}: Dice {100 * dice:.1f} % of validation volumes")
            chosen[row] = max(settings.lr, key=lambda rate: tried[row][f"{rate:g}"])
        for seed in settings.seeds:
            order = train[shuffled(train, seed)]
            for k in counts:
                for row in ROWS:
                    model = model_of(row, seed)
                    fit(model, data, order[:k], settings, seed, device, chosen[row])
                    each = scored(model, data, test, settings, device, asked)
                    volumes[row][k].append(each)
                    scores[row][k].append(found := mean_of(each, regions[1:]))
                    say(f"{row}, k = {k}, seed {seed}: Dice {100 * found['dice']:.1f} %")
                    if settings.out and (row, k, seed) == (ROWS[1], counts[-1], settings.seeds[0]):
                        how = {"spec": SPEC, "settings": asdict(settings), "data": data.describe(), "volumes": k}
                        save_segmenter(Path(settings.out), run, model, regions, how)
                        say(f"saved {settings.out}: predict takes it")
    by_volume = {row: {k: over_seeds(runs) for k, runs in by_count.items()} for row, by_count in volumes.items()}
    out = Curves(settings, data.describe(), regions, len(train), len(test), scores, by_volume, chosen, tried)
    write_json(run.folder / FILE, out.to_dict())
    return out


def _try_rates(
    make_model: Callable[[int], Segmenter], data: Data, train: Tensor, k: int, settings: Segment, device: str
) -> dict[str, float]:
    """Dice of each learning rate on train volumes outside the first k, by the first seed."""
    seed = settings.seeds[0]
    order, found = train[shuffled(train, seed)], {}
    for rate in settings.lr:
        model = make_model(seed)
        fit(model, data, order[:k], settings, seed, device, rate)
        found[f"{rate:g}"] = score(model, data, order[len(order) - settings.validation :], settings, device)["dice"]
    return found


def decoder_of(run: Pretrained) -> dict[str, Tensor]:
    """Weights of the upward half that a run trained beside its encoder, without the last layer; empty without one."""
    file = run.folder / LAST
    if not file.is_file():
        return {}
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    found = {name.removeprefix(HALF): value for name, value in state.items() if name.startswith(HALF)}
    return {name: value for name, value in found.items() if not name.startswith(LAST_LAYER)}


def make(
    encoder: Any,
    spec: VolumeSpec,
    classes: int,
    settings: Segment,
    seed: int,
    decoder: Mapping[str, Tensor] | None = None,
) -> Segmenter:
    """A copy of ``encoder`` under a head whose weights follow from ``seed``, but for those that ``decoder`` has."""
    torch.manual_seed(seed)
    model = Segmenter(copy.deepcopy(encoder), spec, classes, settings.head)
    model.to(memory_format=torch.channels_last_3d)  # a step of a U-Net on the CPU in 60 % of the time
    model.encoder.requires_grad_(not settings.frozen)
    if model.kind == "unet" and decoder:
        missing = model.head.load_state_dict(decoder, strict=False).missing_keys
        assert all(name.startswith(LAST_LAYER) for name in missing), missing
    return model


def fit(
    model: Segmenter, data: Any, ids: Tensor, settings: Segment, seed: int, device: str, lr: float | None = None
) -> None:
    """Train ``model`` in place on crops of the labeled volumes ``ids[k]``."""
    batch = data.__getitems__(ids.tolist())
    note(data, batch)
    if not len(batch):
        raise UsageError(f"{data.describe()}: none of the {len(ids)} volumes to train on can be read")
    images, masks = [x.to(device) for x in batch.images], [m.to(device) for m in data.masks(batch.ids.tolist())]
    weights = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    lr = lr or settings.lr[0]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    model.start_from(shares_of(masks, len(data.regions)))
    model.train()
    if settings.frozen:
        model.encoder.eval()
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * factor(step, settings.steps)
        x, y = crops(images, masks, model.spec.size, settings, seed, step)
        with settings.autocast(device):
            logits = model(x)
        loss = segmentation_loss(logits, y)
        if not math.isfinite(loss.item()):
            raise RunError(f"fine-tuning diverged in step {step + 1}: the loss is {loss.item()}; lower --lr")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in weights if p.grad is not None], 1.0)
        optimizer.step()


def shares_of(masks: Sequence[Tensor], classes: int) -> Tensor:
    """``[K]``: how much of the labeled volumes each class is; a class that none has counts as one voxel."""
    counts = sum(torch.bincount(mask.flatten(), minlength=classes) for mask in masks)
    assert isinstance(counts, Tensor)
    return counts.clamp(min=1) / counts.sum()


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
    """Mean scores of whole volumes, over their labels."""
    regions = {name: (n,) for n, name in enumerate(data.regions) if n}
    return mean_of(scored(model, data, ids, settings, device, regions), tuple(regions))


def scored(
    model: Segmenter, data: Any, ids: Tensor, settings: Segment, device: str, regions: Mapping[str, Sequence[int]]
) -> Volumes:
    """Scores of each of ``regions`` of each whole volume, by its name."""
    found: Volumes = {}
    with evaluating(model), settings.autocast(device):
        for number in ids.tolist():
            batch = data.__getitems__([number])
            note(data, batch)
            if not len(batch):
                continue
            (mask,) = data.masks(batch.ids.tolist())
            logits = slide(model, batch.images[0].to(device), model.spec.size, overlap=settings.overlap)
            guess = logits.float().argmax(0).cpu()
            name = data.names[number] if hasattr(data, "names") else f"volume {number}"
            found[name] = region_scores(guess, mask, model.spec.spacing, regions, settings.tolerance)
    return found


def mean_of(volumes: Volumes, labels: Sequence[str]) -> dict[str, float]:
    """Mean over volumes of the mean over ``labels``; merged regions do not count."""
    each = [[scores for name, scores in volume.items() if name in labels] for volume in volumes.values()]
    found = mean_scores([mean_scores(one) for one in each])
    if set(found) != set(SCORES):
        raise RunError("no test volume has a label: nothing can be scored")
    return found


def over_seeds(runs: Sequence[Volumes]) -> Volumes:
    """Of each volume and region, the mean of its scores in the runs that have any."""
    return {
        volume: {
            region: mean_scores([run[volume][region] for run in runs if region in run[volume]])
            for region in dict.fromkeys(name for run in runs for name in run[volume])
        }
        for volume in runs[0]
    }


def _spread(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)):.1f}"
