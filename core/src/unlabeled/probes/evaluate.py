"""The honest probe table of a run: chance, baselines without a model, the untrained encoder, the pre-trained one.

Frozen features of clean views, probed with the same splits, label subsets and seeds in every row. The untrained
encoder has the architecture of the run and fresh weights for each seed; where it has BatchNorm, its running
statistics are first set on batches of train, without labels. Probes are the domain's components of kind ``probe``
with their default settings, and say what they ask for (:class:`unlabeled.contract.Asks`). Every component of kind
``baseline`` is a row, the domain's default first.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import torch

from unlabeled.build import make
from unlabeled.config.run import RunConfig
from unlabeled.contract import Data, Embedded
from unlabeled.data.fitting import fitting
from unlabeled.plugins.registry import registry
from unlabeled.probes.asked import NONE, Chosen, named
from unlabeled.probes.measure import Subject, measure, sides
from unlabeled.probes.setting import Setting, applies
from unlabeled.probes.table import BASELINE, CHANCE, PRETRAINED, UNTRAINED, Number, Row, Table
from unlabeled.probes.warned import in_our_words
from unlabeled.training.allocator import keep_freed_memory

Say = Callable[[str], None]


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
    chosen: Chosen | None = None,
    folds: int = 0,
    say: Say = lambda line: None,
) -> Table:
    """Probe ``encoder`` and its baselines on ``data``, or the part of the table that is ``chosen``.

    ``spec`` is what the encoder was wired with, where that is not ``data.spec``; ``say`` is told what is under way.
    ``folds``: each is the test once, with the seed of its number, and ``seeds`` are not read; 0 = the data's own.
    Raises ``UsageError`` where ``data`` allows no probe.
    """
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    chosen = chosen or Chosen()
    seeds = tuple(seeds)[:1] if chosen.quick else tuple(seeds)
    wired = data.spec if spec is None else spec
    on = Setting(config, data, seeds, wired, device, batch_size, workers, chosen, folds=folds)
    beside = rows_beside(on)
    rows = [pretrained(on, encoder, say), *([untrained(on, encoder, say)] if UNTRAINED in beside else [])]
    if (
        on.labeled
        or on.targeted
        or any(probe.asks.reads == "encoder" and not probe.asks.labels for probe in on.probes.values())
    ):
        rows += [*reversed(baselines(on, beside, say)), chance(on)]
    if not on.labeled and not on.targeted:
        on.notes.append("the data has no labels of two classes: numbers without labels alone")
    order = {name: number for number, name in enumerate(on.probes)}
    columns = tuple(sorted(on.columns.values(), key=lambda column: order[column.probe]))
    specs = {name: probe.spec for name, probe in on.probes.items() if any(c.probe == name for c in columns)}
    about = describe(on)
    rows.reverse()
    head = (config.domain, about, on.seeds, specs, versions(config.domain))
    return Table(*head, columns, tuple(rows), tuple(on.notes), on.details)


def versions(domain: str) -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {name: importlib.metadata.version(name) for name in ("unlabeled", "torch", "scikit-learn")}
    return found | {"domain": registry().versions.get(domain, domain)}


def describe(on: Setting) -> dict[str, Any]:
    """The data of the table, and a note of what pre-training saw of it."""
    train, test = on.sides(on.seeds[0])
    fixed = on.data.test is not None
    if getattr(on.data, "transductive", False):
        on.notes.append("transductive: pre-training saw all samples, those of test too, and never their labels")
    elif on.folds:
        on.notes.append(f"numbers over {on.folds} folds, each of them the test once, with untrained weights of its own")
        on.notes.append("pre-training may have seen the samples of every fold, never their labels")
    elif not fixed:
        on.notes.append("the data fixes no split: pre-training may have seen test samples, never their labels")
    kind = "the data's own" if getattr(on.data, "folds", None) is not None else "stratified"
    how = "the data's own split" if fixed else f"{kind} {on.folds} folds" if on.folds else "stratified 80 / 20 by seed"
    return {
        "description": on.data.describe(),
        "samples": len(on.ids),
        "classes": on.classes if on.labeled else 0,
        "train": len(train),
        "test": len(test),
        "split": f"{len(train)} train, {len(test)} test, {how}",
    }


# ---------------------------------------------------------------------------------------------- rows


def pretrained(on: Setting, encoder: Any, say: Say) -> Row:
    """The encoder of the run."""
    say("probing the pre-trained encoder")
    features = on.embed(encoder)
    on.read(on.ids if features.ids is None else features.ids)
    subject = Subject(encoder, features, PRETRAINED)
    return Row(PRETRAINED, on.config.parts["encoder"].name, measure(on, lambda seed: subject, fresh=False))


def untrained(on: Setting, like: Any, say: Say) -> Row:
    """The architecture of ``like``, with other weights for each seed."""

    def subject(seed: int) -> Subject:
        say(f"probing the untrained encoder, seed {seed}")
        encoder = on.untrained(like, seed)
        return Subject(encoder, on.embed(encoder), UNTRAINED)

    return Row(UNTRAINED, on.config.parts["encoder"].name, measure(on, subject, fresh=True))


def rows_beside(on: Setting) -> list[str]:
    """The rows that are asked for beside the pre-trained one and chance: ``untrained`` and baselines, default first."""
    domain = on.config.domain
    default = registry().domain(domain).defaults.get("baseline")
    names = sorted((row.name for row in registry().components(domain, "baseline")), key=lambda name: name != default)
    found = named("baseline", domain, on.chosen.baselines, [UNTRAINED, *names, NONE])
    quick = on.chosen.quick and not on.chosen.baselines
    return [name for name in found if name != NONE and (not quick or name in (UNTRAINED, default))]


def baselines(on: Setting, beside: Sequence[str], say: Say) -> list[Row]:
    """A row for every baseline that is asked for and applies."""
    domain = on.config.domain
    names = [name for name in beside if name != UNTRAINED]
    made = {name: make(domain, "baseline", name, {}, {"spec": on.spec}) for name in names}
    rows = [baseline(on, name, made[name], say) for name in names if applies(made[name], on.data)]
    if on.chosen.baselines:
        skipped = [name for name in names if name not in [row.name for row in rows]]
        on.notes += [f"{name}: this data has nothing for it to read" for name in skipped]
        return rows
    if not names:
        on.notes.append(f"domain {domain!r} has no baseline without a model")
    return rows or [Row(BASELINE, "", {})]


def baseline(on: Setting, name: str, made: Any, say: Say) -> Row:
    """Features without a model; what is fitted on train differs by seed where the split does."""
    say(f"probing the baseline {name}")
    fitted = hasattr(made, "fit")
    fresh = fitted and on.data.test is None

    def subject(seed: int) -> Subject:
        with in_our_words(name, on.notes):
            if fitted:
                ids = on.ids[on.sides(seed)[0]]
                with fitting(on.data, ids) as train:
                    made.fit(train, ids)
            return Subject(made, on.embed(made), BASELINE)

    once = None if fresh else subject(on.seeds[0])
    return Row(BASELINE, name, measure(on, lambda seed: once or subject(seed), fresh=fresh))


def chance(on: Setting) -> Row:
    """What a guess scores that knows the labels or targets of train; what probes of the domain say of their own."""
    numbers: dict[str, Number] = {}
    for name in on.probes:
        found = guesses(on, name)
        columns = [c for c in on.columns.values() if c.probe == name and c.number in found]
        numbers |= {column.key: found[column.number] for column in columns}
    if on.labeled:
        on.notes.append(
            f"chance is the better of two guesses, any class of train or its most frequent one; 1 / {on.classes} "
            f"classes is {1 / on.classes:.1%}"
        )
    if on.targeted:
        on.notes.append("chance of targets is the mean of train: the prevalence, where they are labels")
    seed = on.seeds[0]
    for name, probe in on.probes.items():
        if hasattr(probe, "chance") and (on.labeled or not probe.asks.labels):
            found = probe.chance(on.frozen(None, CHANCE, seed))
            numbers |= {f"{name}.{key}": Number((value,), (seed,)) for key, value in found.items()}
    return Row(CHANCE, "", numbers)


def guesses(on: Setting, name: str) -> dict[str, Number]:
    """What the guess of a probe of features scores for each seed, once where all agree."""
    probe = on.probes[name]
    values: dict[str, list[float]] = {}
    if not hasattr(probe, "guess") or not on.asked(probe.asks, CHANCE):
        return {}
    bare = Embedded(torch.zeros(len(on.ids), 1), None if on.data.labels is None else on.data.labels[on.ids].long())
    for seed in on.seeds:
        for key, value in probe.guess(*sides(on, Subject(None, bare, CHANCE), name, None, seed)).items():
            values.setdefault(key, []).append(value)
    kept = {key: found[:1] if len(set(found)) == 1 else found for key, found in values.items()}
    return {key: Number(tuple(found), on.seeds[: len(found)]) for key, found in kept.items()}
