"""Recipes in turns: HuBERT and BEATs, each iteration of which predicts what the one before it has found.

    unlabeled audio hubert --data clips/ --out runs/hubert --iterations 2 --epochs 100
    unlabeled audio beats  --data clips/ --out runs/beats  --iterations 3 --epochs 100

HuBERT (https://arxiv.org/abs/2106.07447): units of the first iteration are k-means of MFCC, of each later one k-means
of a layer of the last encoder. BEATs (https://arxiv.org/abs/2212.09058): labels of the first are random projections;
before each later one a tokenizer is trained that distils the last encoder. Every iteration is a run folder of its own,
``OUT/1``, ``OUT/2``, ..., as ``pretrain`` writes it; flags that are not named here go to each ``pretrain``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlabeled.cli.pretrain import pretrain_command
from unlabeled.errors import UsageError
from unlabeled.runs.folder import RunFolder

OWN = ("out", "iterations", "units", "layer")  # flags of these commands, each with a value


@dataclass(frozen=True)
class Turns:
    """What was asked for: the folder, how often, and the words for ``pretrain``."""

    out: Path
    iterations: int
    own: dict[str, str]
    rest: tuple[str, ...]


def hubert(domain: str, words: Sequence[str]) -> int:
    """``unlabeled audio hubert``: pre-train, cluster the features, pre-train again."""
    if _asks_help(words):
        return _help(
            domain, "hubert", "--units 100,500  units of each iteration  --layer N  clustered, from 0; -1 last"
        )
    turns = read(words, iterations=2)
    units = [_number("units", n) for n in turns.own.get("units", "").split(",") if n]
    layer = turns.own.get("layer")
    before: Path | None = None
    for number in range(turns.iterations):
        flags = ["--tokenizer", "units"]
        if units:
            flags += ["--tokenizer.count", str(units[min(number, len(units) - 1)])]
        if before is not None:
            flags += ["--tokenizer.run", str(before)] + (["--tokenizer.layer", layer] if layer else [])
        before = turns.out / str(number + 1)
        if status := _run(domain, "hubert", before, flags, turns.rest):
            return status
    return 0


def beats(domain: str, words: Sequence[str]) -> int:
    """``unlabeled audio beats``: pre-train, distil a tokenizer, pre-train on its labels."""
    if _asks_help(words):
        return _help(domain, "beats", "")
    turns = read(words, iterations=2)
    if unknown := [name for name in ("units", "layer") if name in turns.own]:
        raise UsageError(f"beats has no --{unknown[0]}: its labels are the tokenizer's, --objective.entries")
    before: Path | None = None
    for number in range(turns.iterations):
        flags: list[str] = []
        if before is not None:
            tokenizer = turns.out / f"{number + 1}-tokenizer"
            if status := _run(domain, "beats_tokenizer", tokenizer, ["--objective.run", str(before)], turns.rest):
                return status
            flags = ["--tokenizer", "codes", "--tokenizer.run", str(tokenizer)]
        before = turns.out / str(number + 1)
        if status := _run(domain, "beats", before, flags, turns.rest):
            return status
    return 0


def read(words: Sequence[str], iterations: int) -> Turns:
    """Take the flags of these commands out of ``words``."""
    own: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in OWN:
            rest.append(word)
        elif equals or queue:
            own[name] = value if equals else queue.pop(0)
        else:
            raise UsageError(f"{word} needs a value")
    if "out" not in own:
        raise UsageError("--out is missing: the folder that gets a run folder for each iteration")
    count = _number("iterations", own.get("iterations", str(iterations)))
    return Turns(Path(own["out"]), count, own, tuple(rest))


def _number(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(f"--{name} is {value!r}; it must be a number from 1 on")
    return int(value)


def _run(domain: str, recipe: str, out: Path, flags: Sequence[str], rest: Sequence[str]) -> int:
    """One run; with ``--resume`` a finished one is kept, and one that was never begun is begun."""
    words = [w for w in rest if w != "--resume"]
    if "--resume" in rest and RunFolder(out).encoder.is_dir():
        print(f"{out} is finished, and kept", flush=True)
        return 0
    again = ["--resume"] if "--resume" in rest and RunFolder(out).is_run else []
    chosen = [] if again else [recipe, *flags]  # on a resume, they come from the run's own config
    print(f"== {recipe}: {out}", flush=True)
    return pretrain_command(domain, [*chosen, "--out", str(out), *again, *words])


def _asks_help(words: Sequence[str]) -> bool:
    return "-h" in words or "--help" in words


def _help(domain: str, name: str, more: str) -> int:
    print(f"usage: unlabeled {domain} {name} --out FOLDER [--iterations N] [flags of pretrain]\n")
    print("Pre-trains in turns, each on targets that the last one gave; FOLDER/1, FOLDER/2, ... are run folders.")
    print("  --iterations N  how many, 2 by default" + (f"\n  {more}" if more else ""))
    print(f"see also: unlabeled {domain} pretrain {name} --help")
    return 0
