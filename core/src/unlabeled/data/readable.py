"""Samples that may be unreadable: found by their headers or when they are read, named once, counted, left out.

A sample that cannot be read never stops a run by itself; only a share above ``max_bad`` does. Whoever asks for samples
gets those that can be read. In training another sample of train that its epoch leaves out stands in; where there is
none, the batch is smaller, so that no sample counts twice in an epoch. Ranks alone need batches of one size.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from unlabeled.data.files import check_bad
from unlabeled.errors import UsageError

Item = TypeVar("Item")
Header = TypeVar("Header")
LEAST = 2  # samples of a batch: BatchNorm has no variance of one
SLICE = 256  # headers that a thread reads at a time: a task for each file costs as much as a small header


class SampleError(Exception):
    """One file or sample that cannot be used, with the reason; whoever reads many adds its name."""


def scan(
    items: Sequence[Item], look: Callable[[Item], Header], threads: int = 4
) -> tuple[list[tuple[Item, Header]], list[tuple[Item, str]]]:
    """Each item with what ``look`` finds, and the others with the reason of its :class:`SampleError`; in order."""

    def try_all(part: Sequence[Item]) -> list[Header | SampleError]:
        return [_attempt(look, item) for item in part]

    with ThreadPoolExecutor(threads) as pool:  # threads wait for disks together
        parts = pool.map(try_all, [items[start : start + SLICE] for start in range(0, len(items), SLICE)])
        found = list(zip(items, chain.from_iterable(parts), strict=True))
    good = [(item, header) for item, header in found if not isinstance(header, SampleError)]
    return good, [(item, str(error)) for item, error in found if isinstance(error, SampleError)]


def _attempt(look: Callable[[Item], Header], item: Item) -> Header | SampleError:
    try:
        return look(item)
    except SampleError as error:
        return error


def note(data: Any, batch: Any) -> Sequence[str]:
    """What ``data`` says of the unreadable samples of ``batch``, which it counts from now on; see Readable.report."""
    report = getattr(data, "report", None)
    return [] if report is None else list(report(batch))


class Readable:
    """A data set of a user's files, of which some may be unreadable.

    A subclass says how one is loaded, and what it is called: ``samples`` in the plural, ``none_left`` where all fail.
    """

    samples: str
    none_left = "{path}: none of the {count:,} {samples} can be read; {name}: {reason}"

    def _open(self, path: Path, bad: Mapping[str, str], total: int, max_bad: float) -> None:
        """``bad`` samples of ``total`` are known from the start; :class:`UsageError` where they are too many."""
        self._path, self._total, self._max_bad = path, total, max_bad
        self.bad: dict[str, str] = dict(bad)
        self._check_bad()

    def __len__(self) -> int:
        raise NotImplementedError

    def _title(self, number: int) -> str:
        """What a bad sample is called."""
        raise NotImplementedError

    def _load(self, number: int) -> Any:
        """One sample; :class:`SampleError` where it cannot be had."""
        raise NotImplementedError

    @property
    def names(self) -> list[str]:
        """What the user calls each sample."""
        return [self._title(number) for number in range(len(self))]

    def _found(self, indices: Sequence[int]) -> tuple[list[tuple[int, Any]], dict[str, str]]:
        """The samples ``indices`` that can be read, after their numbers, and the reason for each that cannot.

        In training, where the indices say their epoch, one of their ``spare`` samples stands in. Where these are used
        up, one that training may see and the batch does not have does, as long as the batch would be too small.
        """
        numbers, bad = [int(index) for index in indices], dict[str, str]()
        taken, found = set(numbers), list[tuple[int, Any]]()
        training, spare = hasattr(indices, "epoch"), iter(getattr(indices, "spare", ()))
        for number in numbers:
            one = self._tried(number, bad)
            if one is None and training:
                one = self._first(spare, taken, bad)
            if one is not None:
                taken.add(one[0])
                found.append(one)
        least = len(numbers) if getattr(indices, "whole", False) else min(LEAST, len(numbers))
        while training and len(found) < least and (one := self._stand_in(numbers[0], taken, bad)):
            taken.add(one[0])
            found.append(one)
        if training and numbers and not found:
            self._none_left(bad)
        return found, bad

    def _tried(self, number: int, bad: dict[str, str]) -> tuple[int, Any] | None:
        try:
            return number, self._load(number)
        except SampleError as error:
            bad[self._title(number)] = str(error)
            return None

    def _stand_in(self, number: int, taken: Collection[int], bad: dict[str, str]) -> tuple[int, Any] | None:
        """The first training sample after ``number`` that can be read and is not taken."""
        return self._first(self._after(number), {*taken, number}, bad)

    def _first(self, others: Iterable[int], taken: Collection[int], bad: dict[str, str]) -> tuple[int, Any] | None:
        """The first of ``others`` that can be read and is not taken."""
        for other in others:
            if other not in taken and (found := self._tried(other, bad)) is not None:
                return found
        return None

    def _after(self, number: int) -> list[int]:
        """The samples that training may see, from ``number`` on and round."""
        pool = self._pool()
        turn = bisect_left(pool, number)
        return pool[turn:] + pool[:turn]

    def _pool(self) -> list[int]:
        """Ids of the samples that training may see."""
        apart: set[int] = set()
        for side in (getattr(self, "test", None), getattr(self, "val", None)):
            apart.update([] if side is None else side.nonzero()[:, 0].tolist())
        return [number for number in range(len(self)) if number not in apart]

    def _none_left(self, bad: Mapping[str, str]) -> NoReturn:
        name, reason = next(iter(bad.items()))
        about = {"path": self._path, "count": len(self), "samples": self.samples, "name": name, "reason": reason}
        raise UsageError(self.none_left.format(**about))

    def report(self, batch: Any) -> list[str]:
        """One line for each sample of ``batch.bad`` that is new here; :class:`UsageError` once they are too many.

        Reading happens in worker processes, so the main process calls this with each batch that arrives.
        """
        new = {name: reason for name, reason in batch.bad if name not in self.bad}
        self.bad |= new
        if new:
            self._check_bad()
        return [f"skipped {name}: {reason}" for name, reason in new.items()]

    def _check_bad(self) -> None:
        check_bad(self._path, self.bad, self._total, self._max_bad, self.samples)
