"""The honest probe table of a run: chance, a baseline without a model, the untrained encoder, the pre-trained one.

Frozen features of clean views, probed with the same splits, label subsets and seeds in every row. The untrained
encoder has the architecture of the run and fresh weights for each seed; where it has BatchNorm, its running
statistics are first set on batches of train, without labels. Probes are the domain's components of kind ``probe``
with their default settings; beside ``spec`` they may say

    needs_labels: bool   asked only where the data has labels, of every row; else of the encoders alone
    fractions: bool      asked with 10 labels per class, 1 %, 10 % and all
    needs_views: int     reads ``train.x[N, V, D]``: this many views of each of ``samples`` samples, by the run's views
    samples: int         the most samples of train that it reads
    reads = "encoder"    called with the frozen encoder and the data (``unlabeled.probes.frozen``)
    draws: bool          such a probe draws something itself (labels, negatives), so that it is asked with every seed
    applies(data)        whether it has anything to measure on this data

Every component of kind ``baseline`` is a row, the domain's default first. A baseline may have ``applies(data)`` too,
and ``fit(data, ids)``: called with the ids of train, and never with labels.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.build import build_untrained, construct
from unlabeled.config.run import Choice, RunConfig
from unlabeled.contract import Batch, Data, Embedded, Probe, Views
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.probes.embedding import batches, calibrate, embed, embed_views, has_running_statistics, take
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.splits import LABELS, Labels, shuffled, split, subset
from unlabeled.probes.table import BASELINE, CHANCE, PRETRAINED, UNTRAINED, Column, Number, Row, Table
from unlabeled.training.allocator import keep_freed_memory

APART = 1000  # seeds of untrained weights stand this far from the run's own
CALIBRATION = 8  # batches that set the running statistics of an untrained encoder


def evaluate(
    config: RunConfig,
    encoder: Any,
    data: Data,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    device: torch.device | str = "cpu",
    batch_size: int = 256,
    workers: int = 0,
    spec: Any = None,
    say: Callable[[str], None] = lambda line: None,
) -> Table:
    """Probe ``encoder`` and its baselines on ``data``.

    ``spec`` is what the encoder was wired with, where that is not ``data.spec``; ``say`` is told what is under way.
    Raises ``UsageError`` where ``data`` allows no probe.
    """
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    run = _Evaluation(config, data, tuple(seeds), device, batch_size, workers, data.spec if spec is None else spec, say)
    rows = [run.pretrained(encoder), run.untrained()]
    if run.labeled or run.deep:
        rows += [*reversed(run.baselines()), run.chance()]
    if not run.labeled:
        run.notes.append("the data has no labels of two classes: numbers without labels alone")
    rows.reverse()
    specs = {name: probe.spec for name, probe in run.probes.items() if any(c.probe == name for c in run.columns)}
    order = {name: number for number, name in enumerate(run.probes)}
    columns = tuple(sorted(run.columns, key=lambda c: order[c.probe]))
    return Table(
        config.domain, run.describe(), run.seeds, specs, versions(config.domain), columns, tuple(rows), tuple(run.notes)
    )


def versions(domain: str) -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {name: importlib.metadata.version(name) for name in ("unlabeled", "torch", "scikit-learn")}
    return found | {"domain": registry().versions.get(domain, domain)}


@dataclass
class _Evaluation:
    """What the rows of a table share: splits, probes, views, and the columns that they fill."""

    config: RunConfig
    data: Data
    seeds: tuple[int, ...]
    device: torch.device | str
    batch_size: int
    workers: int
    spec: Any
    say: Callable[[str], None]
    columns: list[Column] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    like: Any = None  # the encoder that is probed: untrained ones have its architecture

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UsageError("no seeds; a probe table needs at least one")
        defaults = registry().domain(self.config.domain).defaults
        if "clean" not in defaults:
            raise UsageError(f"domain {self.config.domain!r} names no clean views, from which features are taken")
        self.clean: Views = self._component("views", defaults["clean"], {"spec": self.spec})
        choice = self.config.parts["views"]
        self.views: Views = self._component("views", choice.name, {"spec": self.spec}, choice)
        rows = registry().components(self.config.domain, "probe")
        # probes that are asked with few labels come first, then the rest, as the plugins list them
        found: dict[str, Any] = {row.name: construct(row, {}, {}) for row in rows}
        found = {name: probe for name, probe in found.items() if _applies(probe, self.data)}
        self.probes = dict(sorted(found.items(), key=lambda item: not _has(item[1], "fractions")))
        self.known = self.data.labels is not None and len(self.data.labels[self.data.labels >= 0].unique())
        self.labeled = self.known >= 2
        self.deep = any(_deep(p) and (self.labeled or not _has(p, "needs_labels")) for p in self.probes.values())
        self.ids: Tensor = torch.arange(len(self.data))
        if self.labeled and self.data.test is None:
            self.notes.append(
                "the data fixes no split, so a fifth is held out by seed; a run that was pre-trained on these samples "
                "has seen them, without their labels"
            )

    def _component(self, kind: str, name: str, wired: dict[str, Any], choice: Choice | None = None) -> Any:
        row = registry().find(self.config.domain, kind, name)
        return construct(row, choice.settings if choice else {}, wired, name=name)

    # ------------------------------------------------------------------------------------------ rows

    def pretrained(self, encoder: Any) -> Row:
        self.say("probing the pre-trained encoder")
        self.like = encoder
        features = self._embed(encoder)
        self.ids = features.ids if features.ids is not None else self.ids
        self._check()
        numbers = self._measure(lambda seed: _Subject(encoder, features, PRETRAINED), fresh=False, labels_only=False)
        return Row(PRETRAINED, self.config.parts["encoder"].name, numbers)

    def untrained(self) -> Row:
        name = self.config.parts["encoder"].name

        def make(seed: int) -> _Subject:
            self.say(f"probing the untrained encoder, seed {seed}")
            encoder = self._fresh(seed)
            return _Subject(encoder, self._embed(encoder), UNTRAINED)

        return Row(UNTRAINED, name, self._measure(make, fresh=True, labels_only=False))

    def baselines(self) -> list[Row]:
        """A row for every baseline of the domain, the default first."""
        default = registry().domain(self.config.domain).defaults.get("baseline")
        names = [row.name for row in registry().components(self.config.domain, "baseline")]
        rows = [self._baseline(name) for name in sorted(names, key=lambda name: name != default)]
        if not names:
            self.notes.append(f"domain {self.config.domain!r} has no baseline without a model")
        return [row for row in rows if row is not None] or [Row(BASELINE, "", {})]

    def _baseline(self, name: str) -> Row | None:
        baseline = self._component("baseline", name, {"spec": self.spec})
        if not _applies(baseline, self.data):
            return None
        self.say(f"probing the baseline {name}")

        def make(seed: int) -> _Subject:
            if fitted:
                train, _ = split(self.data, self.ids, seed)
                baseline.fit(self.data, self.ids[train])
            return _Subject(baseline, self._embed(baseline), BASELINE)

        # what is fitted on train differs by seed where the split does
        fitted = hasattr(baseline, "fit")
        fresh = fitted and self.data.test is None
        once = None if fresh else make(self.seeds[0])
        return Row(BASELINE, name, self._measure(lambda seed: once or make(seed), fresh=fresh, labels_only=True))

    def chance(self) -> Row:
        """The share in test of the class that is most frequent in train; what probes of the domain say of their own."""
        numbers: dict[str, Number] = {}
        if self.labeled:
            assert self.data.labels is not None
            y, values = self.data.labels[self.ids], []
            for seed in self.seeds:
                train, test = (y[part][y[part] >= 0] for part in split(self.data, self.ids, seed))
                values.append((test == train.mode().values).float().mean().item())
            values = values[:1] if len(set(values)) == 1 else values
            number = Number(tuple(values), self.seeds[: len(values)])
            self.notes.append(
                f"chance is always the most frequent class of train; 1 / {self.known} classes is {1 / self.known:.1%}"
            )
            plain = [c for c in self.columns if c.number == "accuracy" and not _deep(self.probes[c.probe])]
            numbers = {c.key: number for c in plain}
        for name, probe in self.probes.items():
            if _deep(probe) and hasattr(probe, "chance") and (self.labeled or not _has(probe, "needs_labels")):
                seed = self.seeds[0]
                for key, value in probe.chance(self._frozen(None, CHANCE, seed)).items():
                    numbers[f"{name}.{key}"] = Number((value,), (seed,))
        return Row(CHANCE, "", numbers)

    # ------------------------------------------------------------------------------------------ how a row is filled

    def _measure(self, make: Callable[[int], _Subject], *, fresh: bool, labels_only: bool) -> dict[str, Number]:
        """Every number of a row. ``fresh``: features differ by seed, so that every number is taken for each."""
        found: dict[str, list[float]] = {}
        for number, seed in enumerate(self.seeds):
            subject = make(seed)
            for name, probe in self.probes.items():
                if self._asked(probe, subject.kind, labels_only):
                    ask = self._ask_deep if _deep(probe) else self._ask
                    for column, value in ask(name, probe, subject, seed, bool(number) and not fresh):
                        found.setdefault(column.key, []).append(value)
        return {key: Number(tuple(values), self.seeds[: len(values)]) for key, values in found.items()}

    def _asked(self, probe: Any, kind: str, labels_only: bool) -> bool:
        """Whether a row of this kind has numbers of ``probe``."""
        if _has(probe, "needs_labels") and not self.labeled:
            return False
        if _deep(probe):
            return kind in getattr(probe, "kinds", (kind,))
        return _has(probe, "needs_labels") or not labels_only

    def _ask(
        self, name: str, probe: Probe, subject: _Subject, seed: int, again: bool
    ) -> Iterator[tuple[Column, float]]:
        """The numbers of a probe of features; ``again`` where another seed gives the same features."""
        with_labels = _has(probe, "needs_labels")
        for labels in LABELS if _has(probe, "fractions") else (None,):
            drawn = with_labels and (self.data.test is None or labels not in (None, "all"))
            if again and not drawn:
                continue
            train, test = self._sides(subject, probe, labels, seed)
            for key, value in probe(train, test).items():
                yield self._column(name, key, labels, probe, *self._counts(probe, train, test)), value

    def _ask_deep(
        self, name: str, probe: Any, subject: _Subject, seed: int, again: bool
    ) -> Iterator[tuple[Column, float]]:
        """The numbers of a probe that reads the encoder."""
        if again and self.data.test is not None and not _has(probe, "draws"):
            return
        frozen = self._frozen(subject.encoder, subject.kind, seed, subject.features)
        for key, value in probe(frozen).items():
            yield self._column(name, key, None, probe, len(frozen.train), len(frozen.test)), value

    def _sides(self, subject: _Subject, probe: Probe, labels: Labels | None, seed: int) -> tuple[Embedded, Embedded]:
        """What a probe is called with."""
        train, test = split(self.data, self.ids, seed)
        x, y = subject.features.x, subject.features.y
        if views := getattr(probe, "needs_views", 0):
            most = getattr(probe, "samples", len(train))
            chosen = self.ids[train[shuffled(self.ids[train], seed, view=2)][:most]].sort().values
            seen = subject.seen(views, chosen, seed, self)
            return seen, seen
        if labels is not None:
            assert y is not None
            train = train[subset(y[train], self.ids[train], labels, seed)]
        sides = [Embedded(x[part], None if y is None else y[part], self.ids[part]) for part in (train, test)]
        return sides[0], sides[1]

    def _counts(self, probe: Probe, train: Embedded, test: Embedded) -> tuple[int, int]:
        """Samples that a probe of features learns from, and those that it is scored on."""
        if _has(probe, "needs_labels"):
            assert train.y is not None
            assert test.y is not None
            return int((train.y >= 0).sum()), int((test.y >= 0).sum())
        return min(len(train), getattr(probe, "samples", len(train))), 0

    def _column(self, name: str, key: str, labels: str | None, probe: Any, n_train: int, n_test: int) -> Column:
        column = Column(name, key, labels or "", probe.spec.partition(":")[0], n_train, n_test)
        if column.key not in {c.key for c in self.columns}:
            self.columns.append(column)
        return column

    def _frozen(self, encoder: Any, kind: str, seed: int, known: Embedded | None = None) -> Frozen:
        train, test = (self.ids[part] for part in split(self.data, self.ids, seed))
        if isinstance(encoder, nn.Module):
            encoder.to(self.device)
        rest = {"device": self.device, "batch_size": self.batch_size, "workers": self.workers, "known": known}
        return Frozen(encoder, kind, self.data, self.clean, train, test, seed, **rest)  # type: ignore[arg-type]

    def _embed(self, encoder: Any) -> Embedded:
        return embed(
            encoder, self.data, self.clean, batch_size=self.batch_size, workers=self.workers, device=self.device
        )

    def _fresh(self, seed: int) -> nn.Module:
        """The run's architecture with weights that no data has touched."""
        config = self.config.with_training(seed=self.config.training.seed + APART + seed)
        encoder: nn.Module = build_untrained(config, self.spec, self.like).to(self.device)
        if has_running_statistics(encoder):
            calibrate(encoder, self._forward(encoder), self._calibration(seed))
            note = f"untrained: BatchNorm statistics set on {CALIBRATION} batches of train, without labels"
            self.notes += [note] if note not in self.notes else []
        return encoder

    def _forward(self, encoder: nn.Module) -> Callable[[Batch], object]:
        return lambda batch: encoder(take(self.clean, batch.to(self.device), 1, 0)[0])

    def _calibration(self, seed: int) -> Iterator[Batch]:
        train, _ = split(self.data, self.ids, seed)
        ids = self.ids[train[shuffled(self.ids[train], seed, view=3)]][: CALIBRATION * self.batch_size]
        return islice(batches(self.data, ids, batch_size=self.batch_size, workers=0), CALIBRATION)

    # ------------------------------------------------------------------------------------------ the data

    def _check(self) -> None:
        """Raise where there is nothing to probe."""
        train, test = split(self.data, self.ids, self.seeds[0])
        if len(train) < 2 or not len(test):
            raise UsageError(f"{self.data.describe()}: {len(train)} train and {len(test)} test samples are too few")
        lost = len(self.data) - len(self.ids)
        if lost > self.config.training.max_bad * len(self.data):
            raise UsageError(f"{self.data.describe()}: {lost} of {len(self.data)} samples could not be read")
        if self.labeled and self.data.labels is not None:
            y = self.data.labels[self.ids]
            if len(y[train][y[train] >= 0].unique()) < 2 or not (y[test] >= 0).any():
                raise UsageError(f"{self.data.describe()}: train needs labels of 2 classes, and test any")

    def describe(self) -> dict[str, Any]:
        train, test = split(self.data, self.ids, self.seeds[0])
        fixed = self.data.test is not None
        how = "the data's own split" if fixed else "stratified 80 / 20 by seed"
        if getattr(self.data, "transductive", False):
            self.notes.append("transductive: pre-training saw all samples, those of test too, and never their labels")
        elif not fixed:
            self.notes.append("the data fixes no split: pre-training may have seen test samples, never their labels")
        return {
            "description": self.data.describe(),
            "samples": len(self.ids),
            "classes": self.known if self.labeled else 0,
            "train": len(train),
            "test": len(test),
            "split": f"{len(train)} train, {len(test)} test, {how}",
        }


@dataclass
class _Subject:
    """Something that gives features, with those of the clean views, and of augmented ones once they are asked for."""

    encoder: Any
    features: Embedded
    kind: str
    cache: dict[tuple[int, int, int], Embedded] = field(default_factory=dict)

    def seen(self, count: int, ids: Tensor, seed: int, run: _Evaluation) -> Embedded:
        key = (count, len(ids), seed)
        if key not in self.cache:
            self.cache[key] = embed_views(
                self.encoder,
                run.data,
                run.views,
                ids,
                count=count,
                seed=seed,
                batch_size=run.batch_size,
                workers=run.workers,
                device=run.device,
            )
        return self.cache[key]


def _has(probe: Probe, name: str) -> bool:
    return bool(getattr(probe, name, False))


def _deep(probe: Any) -> bool:
    """Whether a probe reads the encoder itself."""
    return getattr(probe, "reads", "features") == "encoder"


def _applies(part: Any, data: Data) -> bool:
    applies = getattr(part, "applies", None)
    return applies is None or bool(applies(data))
