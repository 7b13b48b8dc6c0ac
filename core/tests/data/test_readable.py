"""Samples that cannot be read: found, named once, counted and stood in for."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from unlabeled.data.readable import Readable, SampleError, scan
from unlabeled.errors import UsageError


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


def test_the_next_sample_stands_in_for_one_that_cannot_be_read():
    bad = {}
    assert Numbers({8, 9, 0})._readable(8, bad) == (1, 1)
    assert bad == {"number 8": "broken", "number 9": "broken", "number 0": "broken"}
    with pytest.raises(UsageError, match="ten: none of the 10 numbers can be read; number 4: broken"):
        Numbers(set(range(10)))._readable(5, bad)


def test_each_is_reported_once_and_too_many_stop():
    data = Numbers({1, 2}, max_bad=0.2)
    first, more = (SimpleNamespace(bad=[(f"number {n}", "broken") for n in some]) for some in ((1,), (1, 2)))
    assert data.report(first) == ["skipped number 1: broken"]
    assert data.report(more) == ["skipped number 2: broken"]
    with pytest.raises(UsageError, match="3 of 10 numbers cannot be read"):
        data.report(SimpleNamespace(bad=[("number 3", "broken")]))
