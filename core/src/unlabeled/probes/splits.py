"""Splits of probes: samples to train on and to be tested on, and how many labels may be seen.

Every choice is drawn by sample and seed (``unlabeled.draw``), so a sample's side does not depend on library versions,
and 1 % of the labels is a part of the 10 %. Samples without a label (-1) are left out where labels matter.
Data that has ``groups`` (a name for each sample: its patient, its speaker) never has one group on both sides.

    # N samples
"""

import warnings
from typing import Literal, get_args

import torch
from torch import Tensor

from unlabeled.contract import Data, Embedded
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import UsageError

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
    """Positions in ``ids[N]`` of train and of test: the data's own split or fold, or else drawn by ``seed``.

    Of data with ``folds``, fold number ``seed`` (counted round) is the test.
    """
    if data.test is not None:
        test, val = data.test[ids], getattr(data, "val", None)
        train = ~test if val is None else ~(test | val[ids])
        return torch.nonzero(train)[:, 0], torch.nonzero(test)[:, 0]
    if (count := fold_count(data)) > 1:
        return of_fold(data, ids, seed % count, count)
    return held_out(data, ids, seed, share)


def held_out(data: Data, ids: Tensor, seed: int, share: float) -> tuple[Tensor, Tensor]:
    """Positions in ``ids[N]`` of the rest and of a ``share`` held out, whatever split or folds the data has.

    Stratified by class; each class keeps at least one sample in the rest, and a group is never on both sides.
    """
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


def fold_count(data: Data) -> int:
    """How many folds the data itself has; 0 = none."""
    folds = getattr(data, "folds", None)
    return 0 if folds is None else int(folds.max()) + 1


def of_fold(data: Data, ids: Tensor, number: int, count: int) -> tuple[Tensor, Tensor]:
    """Positions in ``ids[N]`` of train and of test, fold ``number`` of ``count``: the data's own, or else made here.

    Those made here are stratified by class and keep groups whole; samples of val are in neither.
    """
    val = getattr(data, "val", None)
    used = torch.arange(len(ids)) if val is None else torch.nonzero(~val[ids])[:, 0]
    own = getattr(data, "folds", None)
    fold = _made_folds(data, ids[used], count) if own is None else own[ids[used]]
    return used[fold != number], used[fold == number]


def _made_folds(data: Data, ids: Tensor, count: int) -> Tensor:
    """int64[N]: the fold of each of ``ids``, whatever their order."""
    from sklearn.model_selection import StratifiedGroupKFold

    order = torch.argsort(ids)
    group = group_of(data, ids[order])
    group = torch.arange(len(ids)) if group is None else group
    y = torch.zeros_like(ids) if data.labels is None else data.labels[ids[order]].long()
    if count > len(group.unique()):
        raise UsageError(f"{count} folds of {len(group.unique())} groups of samples: --folds must not be above that")
    if int(torch.bincount(y - y.min()).max()) < count:  # no class is in every fold, so that there is nothing to balance
        y = torch.zeros_like(y)
    folds = torch.empty_like(ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a class has fewer samples than there are folds
        made = StratifiedGroupKFold(count, shuffle=True, random_state=0).split(ids.numpy(), y.numpy(), group.numpy())
        for number, (_, test) in enumerate(made):
            folds[order[torch.from_numpy(test)]] = number
    return folds


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
