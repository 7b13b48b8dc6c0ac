"""Samples that cannot be read: found, named once, counted and stood in for."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from unlabeled.data.files import check_bad
from unlabeled.data.readable import Readable, SampleError, scan
from unlabeled.errors import UsageError
from unlabeled.training.datamodule import AddressedBatches, Indices, Plan


class Numbers(Readable):
    """Ten numbers, of which some cannot be had."""

    samples = "numbers"

    def __init__(self, broken, max_bad=0.5):
        self.broken = broken
        self._open(Path("ten"), {}, 10, max_bad)

    def __len__(self):
        return 10

    def _title(self, number):
        return f"number {number}"

    def _load(self, number):
        if number in self.broken:
            raise SampleError("broken")
        return number


def test_a_scan_keeps_the_order_and_every_reason():
    def look(number):
        if number % 3 == 0:
            raise SampleError(f"{number} is divided by 3")
        return -number

    good, bad = scan(range(1000), look)
    assert good == [(n, -n) for n in range(1000) if n % 3]
    assert bad == [(n, f"{n} is divided by 3") for n in range(0, 1000, 3)]


def test_what_cannot_be_read_is_left_out():
    found, bad = Numbers({8, 9, 0})._found([9, 3, 8, 1])
    assert found == [(3, 3), (1, 1)]
    assert bad == {"number 9": "broken", "number 8": "broken"}
    assert Numbers({8})._found([8]) == ([], {"number 8": "broken"})


def test_in_training_another_that_the_epoch_leaves_out_stands_in():
    data = Numbers({1, 2})
    found, bad = data._found(Indices([1, 5, 2, 6], 0, 0, [2, 8, 9]))
    assert [number for number, _ in found] == [8, 5, 9, 6]
    assert bad == {"number 1": "broken", "number 2": "broken"}


def test_where_none_is_left_out_the_batch_is_smaller():
    data = Numbers({1, 2})
    assert [number for number, _ in data._found(Indices([1, 5, 2, 6, 7], 0, 0, [8]))[0]] == [8, 5, 6, 7]
    assert [number for number, _ in data._found(Indices([1, 5, 2, 6, 7], 0, 0))[0]] == [5, 6, 7]


def test_a_batch_that_would_be_too_small_takes_another_of_train():
    data = Numbers({1, 2})
    data.test, data.val = torch.arange(10) == 3, torch.arange(10) == 4
    assert [number for number, _ in data._found(Indices([1, 5, 2], 0, 0))[0]] == [5, 6], "two are left, not one"
    assert [number for number, _ in data._found(Indices([1, 5, 2], 0, 0, whole=True))[0]] == [5, 6, 7]
    data.test, data.val = torch.arange(10) > 3, None
    assert [number for number, _ in data._found(Indices([0, 1, 2, 3], 0, 0, whole=True))[0]] == [0, 3]
    with pytest.raises(UsageError, match="ten: none of the 10 numbers can be read; number 4: broken"):
        Numbers(set(range(10)))._found(Indices([4, 5], 0, 0))


@pytest.mark.parametrize(("size", "accumulate"), [(4, 1), (5, 1), (8, 2), (9, 1)])
def test_no_sample_is_read_twice_in_an_epoch(size, accumulate):
    data, plan = Numbers({1, 2, 9}), Plan(10, size, accumulate)
    for start in range(0, 5 * plan.micro_steps, plan.micro_steps):
        sampler = AddressedBatches(plan, torch.arange(10), 7, 0, lambda start=start: start)
        seen = [number for batch in sampler for number, _ in data._found(batch)[0]]
        assert len(seen) == len(set(seen)), seen


def test_names_of_samples():
    assert Numbers({1}).names[:2] == ["number 0", "number 1"]


def test_each_is_reported_once_and_too_many_stop():
    data = Numbers({1, 2}, max_bad=0.2)
    data._total = 100
    first, more = (SimpleNamespace(bad=[(f"number {n}", "broken") for n in some]) for some in ((1,), (1, 2)))
    assert data.report(first) == ["skipped number 1: broken"]
    assert data.report(more) == ["skipped number 2: broken"]
    with pytest.raises(UsageError, match="23 of 100 numbers cannot be read"):
        data.report(SimpleNamespace(bad=[(f"number {n}", "broken") for n in range(3, 24)]))


def test_a_few_are_never_too_many_unless_they_are_all_or_none_is_allowed():
    bad = {f"{n}": "broken" for n in range(10)}
    check_bad("here", bad, 11, 0.01)
    for total, most in ((10, 0.01), (1000, 0.0)):
        with pytest.raises(UsageError, match="here: 10 of"):
            check_bad("here", bad, total, most)
    with pytest.raises(UsageError, match=r"11 of 900 samples .* --max-bad allows 1.0% or 10, and never all"):
        check_bad("here", bad | {"10": "broken"}, 900, 0.01)
