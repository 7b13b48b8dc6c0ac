"""What was seen on the pretended device, and which line of the project asked for it."""

import functools
import sys
from collections import Counter
from dataclasses import dataclass, field

NAME = "pretend"
ROOTS: tuple[str, ...] = ("/src/unlabeled",)  # parts of a path that say: a line of the project
HERE = "/testing/pretend/"
NON_BLOCKING = "copy to the device, non-blocking"
BLOCKING = "copy to the device"
stack: list["Seen"] = []  # of whom to tell, the innermost last


@dataclass
class Seen:
    """Counts by ``(phase, what, site)``; ``phase`` is whatever the caller last set.

    Args:
        lenient: note mismatches and go on, as if the tensor had been moved, so that one run finds all of them.
        waits: what makes the host wait, or would with a device that is busy; copies that do not say "non-blocking".
        mismatches: what CUDA would refuse.
        launches: kernels, one for each operation that is no view.
        unordered: sums that CUDA adds up in any order; "!" = that have no ordered form.
        kernels: which operations ran on the device, with which dtypes.
        uploads: bytes from host to device, by phase.
        flops: of matrix products, by phase and dtype.
        doubles: numbers in float64, by phase and site.
    """

    lenient: bool = False
    phase: str = ""
    waits: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    mismatches: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    launches: Counter[tuple[str, str]] = field(default_factory=Counter)
    unordered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    kernels: Counter[tuple[str, tuple[str, ...]]] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    flops: Counter[tuple[str, str]] = field(default_factory=Counter)
    doubles: Counter[tuple[str, str]] = field(default_factory=Counter)

    def refuse(self, what: str) -> None:
        where = site()
        self.mismatches[self.phase, what, where] += 1
        if not self.lenient:
            raise RuntimeError(f"{what} [{where}]")

    def wait(self, what: str) -> None:
        self.waits[self.phase, what, site()] += 1

    def blocking(self) -> int:
        """How often the host waits."""
        return sum(n for (_, what, _), n in self.waits.items() if "non-blocking" not in what)


@functools.cache
def _kind_of(file: str) -> int:
    """0 = torch or this file, 1 = another library, 2 = the project."""
    if HERE in file or "/torch/" in file or file.startswith("<"):
        return 0
    if any(root in file for root in ROOTS):
        return 2
    return 1 if "site-packages" in file else 0


def site() -> str:
    """The innermost line of the project on the stack, and of a library below it: ``crops.py:12 cut <- timm/x.py:3``."""
    frame = sys._getframe(1)
    library = ""
    while frame is not None:
        file = frame.f_code.co_filename
        kind = _kind_of(file)
        if kind == 2:
            where = f"{file.split('/src/')[-1]}:{frame.f_lineno} {frame.f_code.co_name}"
            return f"{where} <- {library}" if library else where
        if kind == 1 and not library:
            library = f"{file.split('site-packages/')[-1]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return f"- <- {library}" if library else "-"


def note_wait(what: str) -> None:
    if stack:
        stack[-1].wait(what)


def refuse(what: str) -> None:
    if stack:
        stack[-1].refuse(what)
    else:
        raise RuntimeError(what)
