"""Units as a file; and recipes in turns: HuBERT and BEATs, each iteration of which predicts what the last has found.

    unlabeled audio units  runs/soft_units --data clips/ --out soft.npz
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
from typing import TYPE_CHECKING, Any

from unlabeled.cli.main import in_domain
from unlabeled.errors import above, at_least, within
from unlabeled.runs.folder import RunFolder

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Settings of both.

    Args:
        out: the folder that gets a run folder for each iteration.
        iterations: how many, at least 1.
    """

    out: Path
    iterations: int = 2

    def __post_init__(self) -> None:
        above(0, iterations=self.iterations)


@dataclass(frozen=True, kw_only=True)
class Units:
    """Settings of the clusters.

    Args:
        units: of each iteration, 100,500; the last number serves those after it, none leaves the recipe's.
        layer: that is clustered, from 0; -1 is the last, and the recipe's if not given.
    """

    units: tuple[int, ...] = ()
    layer: int | None = None

    def __post_init__(self) -> None:
        for count in self.units:
            above(0, units=count)


def hubert(domain: str, words: Sequence[str], turns: Turns, clusters: Units) -> int:
    """Pre-train, cluster the features, pre-train again, each on the units that the last one gave.

    OUT/1, OUT/2, ... are run folders. See also: unlabeled audio pretrain hubert --help
    """
    before: Path | None = None
    for number in range(turns.iterations):
        flags = ["--tokenizer", "units"]
        if clusters.units:
            flags += ["--tokenizer.count", str(clusters.units[min(number, len(clusters.units) - 1)])]
        if before is not None:
            flags += ["--tokenizer.run", str(before)]
            flags += [] if clusters.layer is None else ["--tokenizer.layer", str(clusters.layer)]
        before = turns.out / str(number + 1)
        if status := _run(domain, "hubert", before, flags, words):
            return status
    return 0


def beats(domain: str, words: Sequence[str], turns: Turns) -> int:
    """Pre-train, distil a tokenizer, pre-train on its labels.

    OUT/1, OUT/2, ... are run folders. See also: unlabeled audio pretrain beats --help
    """
    before: Path | None = None
    for number in range(turns.iterations):
        flags: list[str] = []
        if before is not None:
            tokenizer = turns.out / f"{number + 1}-tokenizer"
            if status := _run(domain, "beats_tokenizer", tokenizer, ["--objective.run", str(before)], words):
                return status
            flags = ["--tokenizer", "codes", "--tokenizer.run", str(tokenizer)]
        before = turns.out / str(number + 1)
        if status := _run(domain, "beats", before, flags, words):
            return status
    return 0


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Settings.

    Args:
        out: the file to write, .npz.
        batch_size: clips per forward pass.
        device: auto, cpu, cuda, cuda:1, ...
    """

    out: Path
    batch_size: int = 64
    device: str = "auto"

    def __post_init__(self) -> None:
        from unlabeled.runs.features import check_target

        above(0, batch_size=self.batch_size)
        check_target(self.out, (".npz",))


def units(run: Pretrained, data: Any, writing: Writing) -> str:
    """The units that a run gives each row: soft ones of recipe soft_units, or those that its quantizer chooses.

    A file .npz: units[T, ...] of all clips, those of clip n from offsets[n] to offsets[n + 1], ids[N], path[N], and
    rate, rows a second.
    """
    from unlabeled_audio.tokenizers.heads import write_units

    return write_units(run, data, writing.out, writing.batch_size, writing.device)


@dataclass(frozen=True, kw_only=True)
class Filling:
    """Settings.

    Args:
        out: the folder that gets the sounds.
        share: of a clip's units that is hidden.
        steps: in which they are filled in.
        temperature: of what is drawn; 0 = the best.
        clips: how many.
        seed: of what is drawn.
    """

    out: Path
    share: float = 0.7
    steps: int = 16
    temperature: float = 1.0
    clips: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        above(0, steps=self.steps, clips=self.clips)
        within(0, 1, share=self.share)
        at_least(0, temperature=self.temperature)


def generate(run: Pretrained, data: Any, filling: Filling) -> str:
    """Fill in units that are hidden in clips that training never saw, and write how they sound; RUN is one of metis.

    OUT gets ID.wav of each clip, and ID-given.wav of its own units. Printed are how many units are right, beside the
    most frequent one, and how far log-mel frames are from the clip's, beside those of its own units.
    """
    from unlabeled_audio.tokenizers.generated import write_generated

    return write_generated(run, data, filling)


def _run(domain: str, recipe: str, out: Path, flags: Sequence[str], rest: Sequence[str]) -> int:
    """One run; with ``--resume`` a finished one is kept, and one that was never begun is begun."""
    words = [w for w in rest if w != "--resume"]
    if "--resume" in rest and RunFolder(out).encoder.is_dir():
        print(f"{out} is finished, and kept", flush=True)
        return 0
    again = ["--resume"] if "--resume" in rest and RunFolder(out).is_run else []
    chosen = [] if again else [recipe, *flags]  # on a resume, they come from the run's own config
    print(f"== {recipe}: {out}", flush=True)
    return in_domain(domain, ["pretrain", *chosen, "--out", str(out), *again, *words])
