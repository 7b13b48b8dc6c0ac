"""Splits by the protocols of the literature: public, random 10 / 10 / 80, or folds.

Every random choice is drawn by sample and seed, so that a split does not depend on library versions.

    # N samples
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unlabeled.contract import Targets
from unlabeled.probes.splits import first_of_each, quotas, shuffled
from unlabeled_graph.data.raw import Raw

Protocol = Literal["public", "random", "folds", "none"]
SHARES = (0.1, 0.1)  # train and val of a random split; the rest is test
FOLDS = 10
READERS = "compgcn, gat, gin and gps alone"


@dataclass(frozen=True)
class Split:
    """Sorted ids of samples; ``val`` may be empty."""

    train: Tensor
    val: Tensor
    test: Tensor


def has(raw: Raw, protocol: str) -> bool:
    """Whether the data have what a protocol needs of them."""
    return {"public": {"train", "test"} <= set(raw.sets), "folds": raw.folds is not None}.get(protocol, True)


def public(raw: Raw) -> Split:
    """The split that came with the data."""
    none = torch.zeros(0, dtype=torch.int64)
    return Split(raw.sets["train"], raw.sets.get("val", none), raw.sets["test"])


def random_split(y_N: Tensor, seed: int) -> Split:
    """10 % train, 10 % val, 80 % test of each class, drawn by ``seed``; samples without a label are in none."""
    known = torch.nonzero(y_N >= 0)[:, 0]
    order = known[shuffled(known, seed)]
    y = y_N[order]
    counts = torch.bincount(y)
    train = quotas(counts, SHARES[0]).clamp(min=1)
    both = torch.minimum(train + quotas(counts, SHARES[1]), counts)
    first = first_of_each(y, torch.minimum(train, counts))
    second = first_of_each(y, both)
    side = torch.full((len(order),), 2)
    side[second], side[first] = 1, 0
    return Split(*(order[side == number].sort().values for number in range(3)))


def make_folds(y_N: Tensor, seed: int) -> Tensor:
    """``int64[N]``: ten folds with equal shares of each class, drawn by ``seed``; -1 without a label."""
    folds = torch.full_like(y_N, -1)
    known = torch.nonzero(y_N >= 0)[:, 0]
    order = known[shuffled(known, seed)]
    for label in y_N[known].unique():
        members = order[y_N[order] == label]
        # each class goes on where the last one ended, so that folds stay equal in size
        start = int((folds >= 0).sum())
        folds[members] = (torch.arange(len(members)) + start) % FOLDS
    return folds


def fold_split(folds_N: Tensor, fold: int) -> Split:
    """Fold number ``fold`` is the test; there is no val."""
    known = folds_N >= 0
    test = folds_N == fold % FOLDS
    none = torch.zeros(0, dtype=torch.int64)
    return Split(torch.nonzero(known & ~test)[:, 0], none, torch.nonzero(test)[:, 0])


def targets_said(targets: Targets | None) -> tuple[str, ...]:
    """What a description says of targets."""
    if targets is None:
        return ()
    count, kind = len(targets.names), "labels" if targets.kind == "multilabel" else "numbers to predict"
    missing = float(targets.values.isnan().float().mean())
    return (f"{count} {kind}" + (f", {missing:.0%} unknown" if missing else ""),)


class Labeled:
    """A data set of which probes see some labels, by ``protocol``."""

    raw: Raw
    protocol: str
    all_labels: Tensor | None
    labels: Tensor | None
    test: Tensor | None
    targets: Targets | None
    val: Tensor | None
    folds: Tensor | None
    names: tuple[str, ...]
    groups: tuple[str, ...] | None
    bad: Mapping[str, str]

    def _tell(self, raw: Raw) -> None:
        """What the contract's optional attributes say of the data."""
        self.targets, self.folds, self.bad = raw.targets, raw.folds, raw.bad
        self.groups, self.val = raw.groups or None, None
        if raw.names:
            self.names = raw.names

    def _hold_out(self) -> None:
        """The data's own test and val set, where there are no classes."""
        total, none = self.raw.samples, torch.zeros(0, dtype=torch.int64)
        self.test, self.val = (
            torch.zeros(total, dtype=torch.bool).index_fill_(0, self.raw.sets.get(name, none), True)
            for name in ("test", "val")
        )

    def split(self, turn: int = 0, protocol: str | None = None) -> Split:
        """Ids by a protocol, the data's own by default; ``turn`` is the seed of a random split, or the fold."""
        protocol = self.protocol if protocol is None else protocol
        if protocol == "public":
            return public(self.raw)
        assert self.all_labels is not None, "a split by class needs labels"
        if protocol == "folds":
            folds = self.raw.folds
            return fold_split(make_folds(self.all_labels, 0) if folds is None else folds, turn)
        return random_split(self.all_labels, turn)

    def _show(self, turn: int) -> None:
        """Labels of the split's train and test alone, as core's probes learn from every label that is not test."""
        assert self.all_labels is not None, "a split by class needs labels"
        part = self.split(turn)
        shown = torch.cat((part.train, part.test))
        self.labels = torch.full_like(self.all_labels, -1)
        self.labels[shown] = self.all_labels[shown]
        self.test, self.val = (
            torch.zeros(len(self.all_labels), dtype=torch.bool).index_fill_(0, ids, True)
            for ids in (part.test, part.val)
        )
