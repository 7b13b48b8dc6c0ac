"""Which small changes of a source file its own fast tests do not notice: ``make mutants``, or with names of files.

    python tests/mutants.py core/src/unlabeled/objectives/dcl.py
    python tests/mutants.py --most 20                              # of each file, spread over it
    python tests/mutants.py --survivors                            # only what the table says is missing

``mutations.py`` makes the changes. No file is touched: pytest collects the tests of a folder once, a first run tells
which functions each test calls, and a change is put into the living function in a fork that runs the tests which call
it, those that noticed others first. Tests that start other processes are left out, since these would run the unchanged
code. ``tests/mutants.md`` has the counts, and beside each survivor that means nothing the reason, which is kept.
"""

import argparse
import ast
import gc
import importlib
import os
import pickle
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from mutations import mutants

HERE = Path(__file__).resolve().parent
ROOT, TABLE = HERE.parent, HERE / "mutants.md"
ROOMS = ("objectives", "nn", "masks", "probes")
MORE = {"nn": ["objectives"], "masks": ["objectives"]}  # what is built of them
CORRUPTIONS = ["plugins/text/src/unlabeled_text/views/corruptions.py"]
QUIET = ["-q", "-s", "-m", "not slow", "-k", "not rank", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestWarning"]
BUDGET = 10.0  # seconds of tests for a change that none of them notices
KEPT = re.compile(r"^- `(?P<key>.+)`: (?P<reason>.+)$", re.MULTILINE)
MISSING = "a test is missing"
RANKS = "one process is all ranks; several are compared in processes of their own, which a change does not reach"
Called = tuple[str, str]  # a file, and the qualified name of a function in it


def folders_of(file: Path) -> tuple[str, ...]:
    """Folders of the tests of a source file."""
    distribution = next(parent for parent in file.parents if parent.name == "src").parent
    rooms = [file.parent.name, *MORE.get(file.parent.name, ())]
    if file.parent.parent.name in ROOMS:
        rooms = [f"{file.parent.parent.name}/{file.parent.name}", *MORE.get(file.parent.parent.name, ())]
    return tuple(str(distribution / "tests" / room) for room in rooms if (distribution / "tests" / room).exists())


def module_of(file: Path) -> str:
    source = next(parent for parent in file.parents if parent.name == "src")
    return ".".join(file.relative_to(source).with_suffix("").parts)


# ------------------------------------------------------------------------------------------- what a test calls


class Run:
    """The tests of some folders: each one's seconds and calls, and whether all of a choice pass."""

    def __init__(self, session: pytest.Session) -> None:
        self.session, self.items = session, session.items
        self.functions: dict[Called, list[FunctionType]] = {}
        self.seconds: dict[int, float] = {}
        self.calls: list[set[Called]] = []
        self.noticed: dict[int, int] = defaultdict(int)

    def one(self, item: pytest.Item, after: pytest.Item | None) -> bool:
        """Whether it passes."""
        before = self.session.testsfailed
        self.session.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        return self.session.testsfailed == before

    def first(self) -> list[tuple[bool, float, set[Called]]]:
        """Of each test: whether it passes with nothing changed, its seconds, and what it calls, fixtures included."""
        fixtures: dict[int, set[Called]] = defaultdict(set)
        calls: set[Called] = set()

        def note(frame: Any, event: str, _: object) -> None:
            if event == "call":
                calls.add((frame.f_code.co_filename, frame.f_code.co_qualname))

        class Fixtures:
            @pytest.hookimpl(hookwrapper=True)
            def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
                before = set(calls)
                calls.clear()
                yield
                fixtures[id(fixturedef)] |= calls
                calls.update(before)

        self.session.config.pluginmanager.register(Fixtures())
        found = []
        for item, after in zip(self.items, [*self.items[1:], None], strict=True):
            calls.clear()
            start = time.process_time()
            sys.setprofile(note)
            passed = self.one(item, after)
            sys.setprofile(None)
            info = getattr(item, "_fixtureinfo", None)
            used = [d for all_of in (info.name2fixturedefs.values() if info else ()) for d in all_of]
            ours = {c for c in calls.union(*(fixtures[id(d)] for d in used)) if c[0].startswith(str(ROOT))}
            found.append((passed, time.process_time() - start, ours))
        return found

    def chosen(self, called: Called) -> list[int]:
        """Tests that call it: those that noticed most first, then the file's own, then short ones, to a budget."""
        own = f"test_{Path(called[0]).stem}.py"
        which = [k for k, calls in enumerate(self.calls) if called in calls]
        which.sort(key=lambda k: (-self.noticed[k], self.items[k].path.name != own, self.seconds[k]))
        taken, spent = [], 0.0
        for k in which:
            if spent < BUDGET:
                taken.append(k)
                spent += self.seconds[k]
        return taken

    def noticing(self, chosen: list[int]) -> int:
        """The first of the tests that fails, one more than the last where none does."""
        for place, k in enumerate(chosen):
            after = self.items[chosen[place + 1]] if place + 1 < len(chosen) else None
            if not self.one(self.items[k], after):
                return place
        return len(chosen)


def in_a_fork(work: Callable[[], Any], seconds: float) -> Any:
    """What ``work`` gives in a fork; None where that takes too long or ends the process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(work(), pipe)
        os._exit(0)
    os.close(writing)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.waitpid(child, 0)
    return pickle.loads(said) if said else None  # noqa: S301 - what our own fork wrote


# ------------------------------------------------------------------------------------------- one change


def codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from codes(inner)


def living(files: list[Path]) -> dict[Called, list[FunctionType]]:
    """Functions of files, each with every copy that a decorator made."""
    found: dict[Called, list[FunctionType]] = defaultdict(list)
    for file in files:
        importlib.import_module(module_of(file))
    for it in gc.get_objects():
        if type(it) is FunctionType:
            found[it.__code__.co_filename, it.__code__.co_qualname].append(it)
    gc.freeze()  # a fork need not copy what it never touches
    return found


def put(module: ast.Module, called: Called, functions: list[FunctionType]) -> None:
    """The changed function in place of the living ones."""
    new = next(c for c in codes(compile(module, called[0], "exec")) if c.co_qualname == called[1])
    for it in functions:
        it.__code__ = new


def survivors(run: Run, file: Path, most: int, only: set[str] | None) -> tuple[int, list[str]]:
    """How many changes were tried, and those that the tests did not notice."""
    every = [one for one in mutants(file.read_text(encoding="utf-8")) if only is None or one[1] in only]
    tried = every if len(every) <= most else [every[int(k * len(every) / most)] for k in range(most)]
    left = []
    for name, what, module in tried:
        called = str(file), name
        chosen = run.chosen(called)
        limit = 20 + 10 * sum(run.seconds[k] for k in chosen)

        def changed(called: Called = called, module: ast.Module = module, chosen: list[int] = chosen) -> int:
            put(module, called, run.functions[called])
            return run.noticing(chosen)

        place = in_a_fork(changed, limit)
        if place is not None and place == len(chosen):
            left.append(what)
        elif place is not None:
            run.noticed[chosen[place]] += 1
    return len(tried), left


class Loop:
    """In place of pytest's loop over the tests: a loop over changes."""

    def __init__(self, files: list[Path], most: int, only: dict[str, set[str]] | None) -> None:
        self.files, self.most, self.only = files, most, only

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        run = Run(session)
        found = in_a_fork(run.first, 1200) or sys.exit("the tests ended before any change")
        broken = [item.nodeid for item, one in zip(run.items, found, strict=True) if not one[0]]
        print(*(f"fails before any change, and is left out: {name}" for name in broken), sep="\n")
        run.seconds = dict(enumerate(one[1] for one in found))
        run.calls = [one[2] if one[0] else set() for one in found]
        run.functions = living(self.files)
        for file in self.files:
            name = str(file.relative_to(ROOT))
            tried, left = survivors(run, file, self.most, None if self.only is None else self.only.get(name, set()))
            print(f"{name}: {tried - len(left)} of {tried} noticed", *left, sep="\n    ", flush=True)
            write(name, tried, left, self.only is not None)
        return True


# ------------------------------------------------------------------------------------------- the table


def write(name: str, tried: int, left: list[str], again: bool) -> None:
    """Counts and survivors of a file beside what the table says of others; ``again``: of its missing ones alone."""
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    reasons = {found["key"]: found["reason"] for found in KEPT.finditer(text)}
    rows = dict(re.findall(r"^\| `(.+?)` (\|.+)$", text, re.MULTILINE))
    keys = {f"{name} {what}" for what in left}
    if again:
        keys |= {key for key, reason in reasons.items() if key.split(" ")[0] == name and reason != MISSING}
        tried = int(rows[name].split("|")[1])
    rows[name] = f"| {tried} | {tried - len(keys)} | {len(keys)} |"
    keys |= {key for key in reasons if key.split(" ")[0] != name}
    head = ["# Changes that the tests do not notice", "", "Made by `make mutants`; a reason beside a survivor is kept.",
            "", "| file | changes | noticed | survivors |", "|---|---|---|---|"]  # fmt: skip
    lines = [*head, *(f"| `{name}` {row}" for name, row in sorted(rows.items())), "", "## Survivors", ""]
    usual = {key: RANKS for key in keys if "rank()" in key or "world()" in key}
    usual |= {key: reason for key, reason in reasons.items() if reason != MISSING}
    lines += [f"- `{key}`: {usual.get(key, MISSING)}" for key in sorted(keys)]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def missing() -> dict[str, set[str]]:
    """Of each file, the survivors in the table that have no reason yet."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in KEPT.finditer(TABLE.read_text(encoding="utf-8")):
        if one["reason"] == MISSING:
            name, what = one["key"].split(" ", 1)
            found[name].add(what)
    return found


def every_file() -> list[Path]:
    sources = [ROOT / "core/src/unlabeled", *sorted(ROOT.glob("plugins/*/src/unlabeled_*"))]
    found = [path for source in sources for room in ROOMS for path in sorted((source / room).rglob("*.py"))]
    return [path for path in found if path.stem != "__init__"] + [ROOT / name for name in CORRUPTIONS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="all objectives, nn, masks and probes, where none is named")
    parser.add_argument("--most", type=int, default=60, help="changes of a file")
    parser.add_argument("--survivors", action="store_true", help="only those that the table says are missing")
    given = parser.parse_args()
    only = missing() if given.survivors else None
    files = [path.resolve() for path in given.files] or every_file()
    groups: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for file in files:
        if only is None or str(file.relative_to(ROOT)) in only:
            groups[folders_of(file)].append(file)
    for folders, some in groups.items():
        child = os.fork()  # a folder's tests are collected by a pytest of their own
        if child == 0:
            os._exit(int(pytest.main([*QUIET, *folders], plugins=[Loop(some, given.most, only)])))
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
