"""The numbers of one row of a probe table: every probe asked of one encoder or baseline, seed by seed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from unlabeled.contract import Embedded, Targets
from unlabeled.probes.scores import classification, details
from unlabeled.probes.setting import Setting
from unlabeled.probes.splits import Labels, subset
from unlabeled.probes.table import PRETRAINED, Number
from unlabeled.probes.warned import in_our_words


@dataclass
class Subject:
    """Something that gives features, with those of the clean views, and of augmented ones once they are asked for."""

    encoder: Any
    features: Embedded
    kind: str
    seen: dict[tuple[int, int, int], Embedded] = field(default_factory=dict)


def measure(on: Setting, make_subject: Callable[[int], Subject], *, fresh: bool) -> dict[str, Number]:
    """Every number of a row. ``fresh``: features differ by seed, so that every number is taken for each."""
    found: dict[str, list[float]] = {}
    for number, seed in enumerate(on.seeds):
        subject = make_subject(seed)
        for name, probe in on.probes.items():
            if on.asked(probe.asks, subject.kind):
                ask = of_encoder if probe.asks.reads == "encoder" else of_features
                with in_our_words(name, on.notes):
                    for key, value in ask(on, name, subject, seed, bool(number) and not fresh):
                        found.setdefault(key, []).append(value)
    return {key: Number(tuple(values), on.seeds[: len(values)]) for key, values in found.items()}


def of_encoder(on: Setting, name: str, subject: Subject, seed: int, again: bool) -> Iterator[tuple[str, float]]:
    """Numbers of a probe that reads the encoder; ``again`` where another seed had the same features."""
    probe = on.probes[name]
    if again and on.data.test is not None and not probe.asks.draws:
        return
    frozen = on.frozen(subject.encoder, subject.kind, seed, subject.features)
    for key, value in probe(frozen).items():
        yield on.column(name, key, "", len(frozen.train), len(frozen.test)), value


def of_features(on: Setting, name: str, subject: Subject, seed: int, again: bool) -> Iterator[tuple[str, float]]:
    """Numbers of a probe that reads features of train and test; ``again`` where another seed had the same."""
    probe = on.probes[name]
    asks = probe.asks
    for labels in on.subsets if asks.fractions else (None,):
        drawn = (asks.labels or asks.targets) and (on.data.test is None or labels not in (None, "all"))
        if again and not drawn:
            continue
        train, test = sides(on, subject, name, labels, seed)
        counts = (min(len(train), asks.samples or len(train)), 0)
        if asks.labels:
            assert train.y is not None and test.y is not None  # noqa: PT018
            counts = (int((train.y >= 0).sum()), int((test.y >= 0).sum()))
        elif asks.targets:
            counts = (len(train), len(test))
        for key, value in scored(on, name, subject, labels, train, test).items():
            yield on.column(name, key, labels or "", *counts), value


def scored(
    on: Setting, name: str, subject: Subject, labels: Labels | None, train: Embedded, test: Embedded
) -> dict[str, float]:
    """Numbers of a probe; each class and the confusion of the pre-trained encoder are kept for the first seed."""
    probe = on.probes[name]
    if not hasattr(probe, "predict") or probe.asks.targets:
        return dict(probe(train, test))
    guess, truth = probe.predict(train, test)
    if subject.kind == PRETRAINED and labels in (None, "all") and name not in on.details:
        on.details[name] = details(guess, truth, tuple(on.data.classes))
    return classification(guess, truth)


def sides(on: Setting, subject: Subject, name: str, labels: Labels | None, seed: int) -> tuple[Embedded, Embedded]:
    """What a probe of features is called with."""
    asks = on.probes[name].asks
    if asks.views:
        key = (asks.views, asks.samples, seed)
        if key not in subject.seen:
            subject.seen[key] = on.seen(subject.encoder, *key)
        return subject.seen[key], subject.seen[key]
    (train, test), x, y = on.sides(seed), subject.features.x, subject.features.y
    if labels is not None:
        assert y is not None
        train = train[subset(y[train], on.ids[train], labels, seed)]
    if asks.targets:
        train, test = (side[on.known[side]] for side in (train, test))
    made = [
        Embedded(x[side], None if y is None else y[side], on.ids[side], targets(on, side) if asks.targets else None)
        for side in (train, test)
    ]
    return made[0], made[1]


def targets(on: Setting, side: torch.Tensor) -> Targets:
    """Those of the samples at positions ``side`` of the setting's ids."""
    found = on.data.targets  # type: ignore[attr-defined]
    return Targets(found.values[on.ids[side]], found.names, found.kind)
