"""The setting of a probe table, shared by its rows: the data's sides, the probes that are asked, views and columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.build import build_untrained, clean_views, make, part
from unlabeled.config.run import RunConfig
from unlabeled.contract import Asks, Batch, Data, Embedded, View
from unlabeled.data.files import too_many
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.probes.asked import Chosen, check_labels, check_targets, named, targets_of
from unlabeled.probes.cache import FeatureCache
from unlabeled.probes.embedding import batches, calibrate, embed, embed_views, has_running_statistics, take
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.splits import LABELS, Labels, fold_count, of_fold, shuffled, split, subset
from unlabeled.probes.table import BASELINE, PRETRAINED, Column

APART = 1000  # seeds of untrained weights stand this far from the run's own
CALIBRATION = 8  # batches that set the running statistics of an untrained encoder


def applies(part: Any, data: Data) -> bool:
    """Whether a probe or a baseline has anything to measure on ``data``."""
    return not hasattr(part, "applies") or bool(part.applies(data))


@dataclass
class Setting:
    """One table: what is probed, on what, and how; ``columns`` and ``notes`` fill up as rows are made."""

    config: RunConfig
    data: Data
    seeds: tuple[int, ...]
    spec: Any
    device: torch.device | str
    batch_size: int
    workers: int
    chosen: Chosen = field(default_factory=Chosen)
    columns: dict[str, Column] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    folds: int = 0

    def __post_init__(self) -> None:
        self.folds = self._folds()
        if self.folds:
            self.seeds = tuple(range(1 if self.chosen.quick else self.folds))
        if not self.seeds:
            raise UsageError("no seeds; a probe table needs at least one")
        check_labels(self.data)
        check_targets(self.data)
        self.clean = clean_views(self.config.domain, self.spec)
        self.views = part(self.config, "views", {"spec": self.spec})
        names = [row.name for row in registry().components(self.config.domain, "probe")]
        wanted = named("probe", self.config.domain, self.chosen.probes, names)
        made = {name: make(self.config.domain, "probe", name, {}, {}) for name in wanted}
        if self.chosen.quick and not self.chosen.probes:
            made = {name: probe for name, probe in made.items() if probe.asks.fractions or probe.asks.targets}
        if self.chosen.quick:
            cut = {name: probe.quick for name, probe in made.items() if hasattr(probe, "quick")}
            made |= {name: make(self.config.domain, "probe", name, cut[name], {}) for name in cut}
        # probes that are asked with few labels come first, then the rest, as the plugins list them
        found = [(name, probe) for name, probe in made.items() if applies(probe, self.data)]
        found = [(name, probe) for name, probe in found if not probe.asks.targets or self.has(probe.asks.targets)]
        for name in self.chosen.probes:
            if name not in dict(found):
                self.notes.append(f"{name}: this data has nothing for it to measure")
        self.probes: dict[str, Any] = dict(sorted(found, key=lambda item: not item[1].asks.fractions))
        labels = self.data.labels
        self.classes = 0 if labels is None else len(labels[labels >= 0].unique())
        self.labeled = self.classes >= 2
        self.targeted = any(probe.asks.targets for probe in self.probes.values())
        self.ids = torch.arange(len(self.data))
        self.cache = FeatureCache(self.chosen.cache, self.data, self.settings)
        self._sides: dict[int, tuple[Tensor, Tensor]] = {}
        self._subsets: tuple[Labels, ...] = ()
        if (self.labeled or self.targeted) and self.data.test is None and not self.folds:
            self.notes.append(
                "the data fixes no split, so a fifth is held out by seed; a run that was pre-trained on these samples "
                "has seen them, without their labels"
            )

    def has(self, kinds: tuple[str, ...]) -> bool:
        """Whether the data has targets of one of these kinds."""
        found = targets_of(self.data)
        return found is not None and found.kind in kinds

    @property
    def known(self) -> Tensor:
        """bool[N]: True = a target of this sample of ``ids`` is known."""
        found = targets_of(self.data)
        assert found is not None
        return (~found.values[self.ids].isnan()).any(1)

    @property
    def settings(self) -> dict[str, Any]:
        """What features depend on beside weights and data."""
        device = torch.device(self.device).type
        parts = {"clean": self.clean, "spec": self.spec, "encoder": self.config.parts["encoder"]}
        return parts | {"batch": self.batch_size, "device": device, "versions": dict(registry().versions)}

    @property
    def subsets(self) -> tuple[Labels, ...]:
        """Numbers of labels that are asked for, each subset once: one that is all of train is ``all``."""
        if self.chosen.quick:
            return ("all",)
        if not self._subsets:
            train, _ = self.sides(self.seeds[0])
            assert self.data.labels is not None
            y = self.data.labels[self.ids[train]].long()
            sizes: dict[tuple[int, ...], Labels] = {}
            for labels in (LABELS[-1], *LABELS):
                part = subset(y, self.ids[train], labels, self.seeds[0])
                sizes.setdefault(tuple(part.tolist()), labels)
            self._subsets = tuple(labels for labels in LABELS if labels in sizes.values())
        return self._subsets

    def _folds(self) -> int:
        """The number of folds: as asked, or the data's own where it fixes no split; 0 = none."""
        own = fold_count(self.data)
        if self.folds and self.data.test is not None:
            raise UsageError(f"{self.data.describe()}: the data fixes its split, and folds would mix it: no --folds")
        if self.folds and own > 1 and own != self.folds:
            raise UsageError(
                f"{self.data.describe()}: the data has {own} folds of its own, and --folds is {self.folds}"
            )
        if self.folds and self.chosen.quick:
            raise UsageError(f"--quick reads one fold, and --folds asks for {self.folds}: leave one of them out")
        if self.folds == 1 or self.folds < 0:
            raise UsageError(f"--folds is {self.folds}; it must be at least 2, or 0 for none")
        return self.folds or (own if own > 1 and self.data.test is None else 0)

    def read(self, ids: Tensor) -> None:
        """Keep to the samples ``ids[N]``, which could be read; ``UsageError`` where they allow no probe."""
        self.ids = ids
        train, test = self.sides(self.seeds[0])
        what = self.data.describe()
        if len(train) < 2 or not len(test):
            raise UsageError(f"{what}: {len(train)} train and {len(test)} test samples are too few")
        lost = len(self.data) - len(ids)
        if too_many(lost, len(self.data), self.config.training.max_bad) and not hasattr(self.data, "report"):
            raise UsageError(f"{what}: {lost} of {len(self.data)} samples could not be read")
        if self.labeled and self.data.labels is not None:
            y = self.data.labels[ids]
            if len(y[train][y[train] >= 0].unique()) < 2 or not (y[test] >= 0).any():
                raise UsageError(f"{what}: train needs labels of 2 classes, and test any")
        if self.targeted and (self.known[train].sum() < 2 or not self.known[test].any()):
            raise UsageError(f"{what}: train needs targets of 2 samples, and test any")

    def sides(self, seed: int) -> tuple[Tensor, Tensor]:
        """Positions in ``ids`` of train and of test."""
        if seed not in self._sides:
            of = of_fold(self.data, self.ids, seed, self.folds) if self.folds else split(self.data, self.ids, seed)
            self._sides[seed] = of
        return self._sides[seed]

    def asked(self, asks: Asks, kind: str) -> bool:
        """Whether a row of this kind has numbers of a probe."""
        if asks.labels and not self.labeled:
            return False
        if asks.reads == "encoder":
            return not asks.kinds or kind in asks.kinds
        return asks.labels or bool(asks.targets) or kind != BASELINE

    def column(self, name: str, number: str, labels: str, n_train: int, n_test: int) -> str:
        """The key of a number; its column is that of the row that had it first."""
        spec = self.probes[name].spec.partition(":")[0]
        column = Column(name, number, labels, spec, n_train, n_test)
        return self.columns.setdefault(column.key, column).key

    # ------------------------------------------------------------------------------------------ encoders

    @property
    def options(self) -> dict[str, Any]:
        """How an encoder is run."""
        return {"device": self.device, "batch_size": self.batch_size, "workers": self.workers}

    def embed(self, encoder: Any) -> Embedded:
        """Features of the clean views of all samples."""

        def read() -> Iterator[Batch]:
            size = max(self.batch_size, getattr(self.data, "together", 0))
            for batch in batches(self.data, torch.arange(len(self.data)), batch_size=size, workers=self.workers):
                yield batch.to(self.device)

        def make_features(views: Any) -> Embedded:
            return embed(encoder, self.data, views, **self.options)

        return self.cache.get(encoder, self.clean, make_features, read)

    def seen(self, encoder: Any, count: int, most: int, seed: int) -> Embedded:
        """Features ``[N, V, D]`` of ``count`` of the run's views of at most ``most`` samples of train; 0 = all."""
        train, _ = self.sides(seed)
        order = train[shuffled(self.ids[train], seed, view=2)]
        ids = self.ids[order[: most or len(order)]].sort().values
        return embed_views(encoder, self.data, self.views, ids, count=count, seed=seed, **self.options)

    def frozen(self, encoder: Any, kind: str, seed: int, known: Embedded | None = None) -> Frozen:
        """What a probe that reads the encoder is called with."""
        if isinstance(encoder, nn.Module):
            encoder.to(self.device)
        train, test = (self.ids[side] for side in self.sides(seed))
        run = self.chosen.cache.parent if self.chosen.cache and kind == PRETRAINED else None
        return Frozen(encoder, kind, self.data, self.clean, train, test, seed, known=known, run=run, **self.options)

    def untrained(self, like: Any, seed: int) -> nn.Module:
        """The architecture of ``like`` with weights that no data has touched."""
        config = self.config.with_training(seed=self.config.training.seed + APART + seed)
        encoder: nn.Module = build_untrained(config, self.spec, like).to(self.device)
        if has_running_statistics(encoder):
            calibrate(encoder, lambda batch: encoder(self._view(batch)), self._calibration(seed))
            note = f"untrained: BatchNorm statistics set on {CALIBRATION} batches of train, without labels"
            self.notes += [note] if note not in self.notes else []
        return encoder

    def _view(self, batch: Batch) -> View:
        return take(self.clean, batch.to(self.device), 1, 0)[0]

    def _calibration(self, seed: int) -> Iterator[Batch]:
        train, _ = self.sides(seed)
        ids = self.ids[train[shuffled(self.ids[train], seed, view=3)]][: CALIBRATION * self.batch_size]
        return islice(batches(self.data, ids, batch_size=self.batch_size, workers=0), CALIBRATION)
