"""Splits of probes: samples to train on and to be tested on, and how many labels may be seen.

Every choice is drawn by sample and seed (``unlabeled.draw``), so a sample's side does not depend on library versions,
and 1 % of the labels is a part of the 10 %. Samples without a label (-1) are left out where labels matter.
Data that has ``groups`` (a name for each sample: its patient, its speaker) never has one group on both sides.

    # N samples
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from unlabeled.contract import Data, Embedded
from unlabeled.draw import Draw, Purpose

Labels = Literal["10 per class", "1 %", "10 %", "all"]
LABELS: tuple[Labels, ...] = get_args(Labels)
TEST_SHARE = 0.2


def shuffled(ids: Tensor, seed: int, view: int = 0) -> Tensor:
    """Order of ``ids[N]`` by a key drawn for each of them."""
    return torch.argsort(Draw(seed, 0, ids.cpu(), view).words(1, Purpose.SPLIT)[:, 0], stable=True)


def quotas(counts: Tensor, share: float) -> Tensor:
    """How many of each class make ``share`` of all: largest remainders, so that the sum is round(share N)."""
    exact = counts.double() * share
    out = exact.floor().long()
    missing = round(float(exact.sum())) - int(out.sum())
    out[torch.argsort(out - exact, stable=True)[: max(0, missing)]] += 1
    return torch.minimum(out, counts)


def first_of_each(y: Tensor, counts: Tensor) -> Tensor:
    """Sorted positions of the first ``counts[c]`` samples of each class c in ``y[N]``."""
    chosen = [torch.nonzero(y == c)[:, 0][: int(n)] for c, n in enumerate(counts.tolist())]
    return torch.cat(chosen).sort().values


def split(data: Data, ids: Tensor, seed: int, share: float = TEST_SHARE) -> tuple[Tensor, Tensor]:
    """Positions in ``ids[N]`` of train and of test: the data's own split, or else stratified by ``seed``.

    Each class keeps at least one sample in train. Without labels, ``share`` of all samples is test.
    """
    if data.test is not None:
        test, val = data.test[ids], getattr(data, "val", None)
        train = ~test if val is None else ~(test | val[ids])
        return torch.nonzero(train)[:, 0], torch.nonzero(test)[:, 0]
    y = torch.zeros_like(ids) if data.labels is None else data.labels[ids].long() + 1  # unlabeled is a class here
    group = group_of(data, ids)
    first = torch.arange(len(ids)) if group is None else _first_of_group(group)
    order = first[shuffled(ids[first], seed)]
    counts = torch.bincount(y[first])
    chosen = order[first_of_each(y[order], torch.minimum(quotas(counts, share), (counts - 1).clamp(min=0)))]
    test = torch.zeros(len(ids), dtype=torch.bool).index_fill_(0, chosen, True)
    if group is not None:
        test = torch.zeros(len(first), dtype=torch.bool).index_fill_(0, group[chosen], True)[group]
    return torch.nonzero(~test)[:, 0], torch.nonzero(test)[:, 0]


def group_of(data: Data, ids: Tensor) -> Tensor | None:
    """int64[N]: a number for the group of each of ``ids``, in order of appearance; None where each stands alone."""
    names = getattr(data, "groups", None)
    if names is None:
        return None
    number: dict[str, int] = {}
    return torch.tensor([number.setdefault(names[i], len(number)) for i in ids.tolist()], dtype=torch.int64)


def _first_of_group(group_N: Tensor) -> Tensor:
    """Positions of the first sample of each group, group after group: it stands for its group, with its class."""
    order = torch.argsort(group_N, stable=True)
    return order[torch.cat((torch.ones(1, dtype=torch.bool), group_N[order].diff() > 0))[: len(order)]]


def subset(y: Tensor, ids: Tensor, labels: Labels, seed: int) -> Tensor:
    """Sorted positions of the labeled samples of ``y[N]`` that a probe may learn from; at least one of each class."""
    known = torch.nonzero(y >= 0)[:, 0]
    if labels == "all":
        return known
    order = known[shuffled(ids[known], seed, view=1)]
    counts = torch.bincount(y[known])
    if labels == "10 per class":
        wanted = counts.clamp(max=10)
    else:
        wanted = torch.minimum(quotas(counts, float(labels.removesuffix(" %")) / 100).clamp(min=1), counts)
    return order[first_of_each(y[order], wanted)].sort().values


def require_labels(train: Embedded, test: Embedded) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``train_x, train_y, test_x, test_y`` of the labeled samples alone; ``ValueError`` where a probe has no task."""
    if train.y is None or test.y is None:
        raise ValueError("this probe needs labels, and the data has none")
    in_train, in_test = train.y >= 0, test.y >= 0
    train_y, test_y = train.y[in_train].long(), test.y[in_test].long()
    if not len(test_y):
        raise ValueError("no labeled test sample")
    if len(train_y.unique()) < 2:
        raise ValueError(f"found {len(train_y.unique())} class in train; a probe needs at least 2")
    return train.x[in_train], train_y, test.x[in_test], test_y
