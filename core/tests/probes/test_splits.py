from types import SimpleNamespace

import pytest
import torch

from unlabeled.contract import Embedded
from unlabeled.errors import UsageError
from unlabeled.probes.splits import LABELS, held_out, of_fold, quotas, require_labels, split, subset


def data(labels, test=None):
    return SimpleNamespace(labels=labels, test=test)


@pytest.fixture
def y():
    return torch.cat([torch.full((n,), c) for c, n in enumerate((500, 300, 150, 49, 1))])


def test_quotas_sum_exactly():
    counts = torch.tensor([500, 300, 150, 49, 1])
    assert quotas(counts, 0.01).sum() == 10
    assert quotas(counts, 0.1).tolist() == [50, 30, 15, 5, 0]
    assert quotas(torch.tensor([3, 3, 3]), 0.5).sum() == 4


def test_split_is_stratified_and_whole(y):
    train, test = split(data(y), torch.arange(1000), seed=0)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(1000))
    assert torch.bincount(y[test], minlength=5).tolist() == [100, 60, 30, 10, 0]


def test_split_follows_the_seed(y):
    ids = torch.arange(1000)
    tests = [split(data(y), ids, seed)[1].tolist() for seed in (0, 0, 1)]
    assert tests[0] == tests[1]
    assert len(set(tests[0]) & set(tests[2])) < 80


def test_data_with_its_own_split_keeps_it(y):
    held = torch.arange(1000) % 7 == 0
    for seed in (0, 1):
        train, test = split(data(y, held), torch.arange(1000), seed)
        assert held[test].all()
        assert not held[train].any()


def test_split_speaks_of_positions(y):
    ids = torch.arange(200, 1000)  # the first 200 could not be read
    train, test = split(data(y), ids, seed=0)
    assert len(train) + len(test) == 800
    assert int(torch.cat([train, test]).max()) == 799
    assert torch.bincount(y[ids[test]], minlength=5).tolist() == [60, 60, 30, 10, 0]


def test_a_group_is_never_on_both_sides(y):
    patients = [f"patient {n // 3}" for n in range(1000)]
    found = SimpleNamespace(labels=y, test=None, groups=patients)
    ids = torch.arange(5, 1000)  # some could not be read
    train, test = split(found, ids, seed=0)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(995))
    sides = [{patients[i] for i in ids[side].tolist()} for side in (train, test)]
    assert not sides[0] & sides[1]
    assert 180 < len(test) < 220
    alone = SimpleNamespace(labels=y, test=None, groups=[str(n) for n in range(1000)])
    plain = SimpleNamespace(labels=y, test=None)
    assert torch.equal(split(alone, ids, 3)[1], split(plain, ids, 3)[1])


def test_split_without_labels():
    train, test = split(data(None), torch.arange(50), seed=0)
    assert (len(train), len(test)) == (40, 10)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ("10 per class", [10, 10, 10, 10, 1]),
        ("1 %", [5, 3, 2, 1, 1]),
        ("10 %", [50, 30, 15, 5, 1]),
        ("all", [500, 300, 150, 49, 1]),
    ],
)
def test_label_fractions_are_exact(y, labels, counts):
    for seed in range(3):
        chosen = subset(y, torch.arange(1000), labels, seed)
        assert torch.bincount(y[chosen]).tolist() == counts
        assert len(chosen.unique()) == len(chosen)


def test_one_percent_is_a_part_of_ten(y):
    small, large = (set(subset(y, torch.arange(1000), part, 0).tolist()) for part in ("1 %", "10 %"))
    assert small < large


def test_subsets_leave_out_unlabeled_and_follow_the_id(y):
    hidden = y.clone()
    hidden[::2] = -1
    ids = torch.arange(1000)
    for labels in LABELS:
        assert (hidden[subset(hidden, ids, labels, 0)] >= 0).all()
    turned = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    chosen = subset(y, ids, "10 per class", 0)
    assert sorted(turned[subset(y[turned], ids[turned], "10 per class", 0)].tolist()) == chosen.tolist()


def test_require_labels_says_what_is_missing():
    x, y = torch.zeros(4, 2), torch.tensor([0, 1, -1, 0])
    with pytest.raises(ValueError, match="no labeled test sample"):
        require_labels(Embedded(x, y), Embedded(x, torch.full((4,), -1)))
    assert len(require_labels(Embedded(x, y), Embedded(x, y))[0]) == 3


def test_folds_are_each_the_test_once_stratified_and_whole(y):
    kinds = torch.bincount(y).tolist()
    ids = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    found = [of_fold(data(y), ids, number, 5) for number in range(5)]
    tests = [set(ids[test].tolist()) for _, test in found]
    assert sum(len(test) for test in tests) == len(set().union(*tests)) == 1000
    for train, test in found:
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(1000))
        counts = torch.bincount(y[ids[test]], minlength=5).tolist()
        assert all(abs(count - kind / 5) <= 1 for count, kind in zip(counts, kinds, strict=True))
    turned = of_fold(data(y), ids.sort().values, 2, 5)
    assert set(turned[1].tolist()) == tests[2], "a fold does not hang on the order of the samples"


def test_folds_never_tear_a_group_and_leave_val_out(y):
    groups = [f"patient {n // 7}" for n in range(1000)]
    val = torch.arange(1000) < 70
    found = SimpleNamespace(labels=y, test=None, groups=groups, val=val)
    for number in range(4):
        train, test = of_fold(found, torch.arange(1000), number, 4)
        sides = [{groups[i] for i in side.tolist()} for side in (train, test)]
        assert not sides[0] & sides[1]
        assert not val[train].any()
        assert not val[test].any()
    with pytest.raises(UsageError, match="8 folds of 4 groups of samples"):
        of_fold(SimpleNamespace(labels=None, test=None, groups=["a", "b", "c", "d"] * 5), torch.arange(20), 0, 8)


def test_folds_of_the_data_are_its_tests(y):
    own = torch.arange(1000) % 4 - 1
    found = SimpleNamespace(labels=y, test=None, folds=own)
    for seed in range(4):
        train, test = split(found, torch.arange(1000), seed)
        assert torch.equal(own[test], torch.full_like(test, seed % 3))
        assert (own[train] == -1).sum() == 250, "a sample of no fold is of train in every one"
    rest, apart = held_out(found, torch.arange(1000), 0, 0.1)
    assert (len(rest), len(apart)) == (900, 100)


def test_folds_of_rare_classes():
    train, test = of_fold(data(torch.arange(12)), torch.arange(12), 0, 3)
    assert (len(train), len(test)) == (8, 4)
