"""Samples that may be unreadable: found by their headers or when they are read, named once, counted, stood in for.

A sample that cannot be read never stops a run by itself; only a share above ``max_bad`` does.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from unlabeled.data.files import check_bad
from unlabeled.errors import UsageError

Item = TypeVar("Item")
Header = TypeVar("Header")
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

    def _readable(self, first: int, bad: dict[str, str]) -> tuple[int, Any]:
        """The first sample from ``first`` on that can be read, after its number; ``bad`` gets those before it."""
        for turn in range(len(self)):
            number = (first + turn) % len(self)
            try:
                return number, self._load(number)
            except SampleError as error:
                name, reason = self._title(number), str(error)
                bad[name] = reason
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
