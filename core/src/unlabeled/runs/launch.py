"""A run from its checked configuration to its folder: everything is tried before any folder is made.

Order: the folder is looked at, the parts are built, the trainer is set up once on trial; only then is an old run
deleted, ``config.yaml`` written, and the encoder trained and saved. Torch is imported on first use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.config.run import RunConfig
from unlabeled.config.settings import signature
from unlabeled.errors import UsageError
from unlabeled.runs.folder import (
    ENCODER,
    LAST,
    MEASURED,
    check_out,
    check_resume,
    clear,
    is_run,
    next_folder,
    read_run,
    write_config,
)

if TYPE_CHECKING:
    from unlabeled.build import Parts

Say = Callable[[str], None]
OUT = "UNLABELED_OUT"  # tells the processes that the trainer starts for other ranks which folder the first one took


def quiet(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Request:
    """A run that is asked for.

    Args:
        config: complete and checked.
        out: the run folder; None = the next free one under ``runs/``.
        resume: go on with the run in ``out``.
        overwrite: delete the run in ``out`` first.
        chosen: kinds that the user named or set, so that one which the objective ignores is told.
    """

    config: RunConfig
    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    chosen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Done:
    """A run that ended: its folder, and the trainer's ``Result``."""

    out: Path
    result: Any


def start(request: Request, say: Say = quiet) -> Done:
    """Check everything, then make the run folder, train, and write the encoder."""
    config, first = request.config, is_first_process()
    out = _folder(request, first)
    if first:
        check_out(out, resume=request.resume, overwrite=request.overwrite)
        if request.resume:
            check_resume(read_run(out), config)

    from unlabeled.build import build
    from unlabeled.runs.encoder import initialize
    from unlabeled.training.run import check as check_training
    from unlabeled.training.run import train

    parts = build(config)
    check_training(parts, out)
    if config.training.init and not request.resume:
        initialize(parts.encoder, config.training.init)
    if first:
        for line in [*ignored(parts, request.chosen), headline(parts, out)]:
            say(line)
        if request.overwrite and is_run(out):
            clear(out)
        write_config(out, config)
    os.environ[OUT] = str(out)
    try:
        result = train(parts, out, resume=request.resume)
    finally:
        del os.environ[OUT]
    if first:
        _finish(parts, out, result, request.resume, say)
    return Done(out, result)


def _finish(parts: Parts, out: Path, result: Any, resume: bool, say: Say) -> None:
    """Write the encoder folder; numbers that were measured on earlier weights go."""
    from unlabeled.runs.encoder import restore, save_encoder

    if resume and result.samples_per_second == 0:
        say(f"all {result.steps} steps were done already; more epochs go on with the run")
        restore(parts.encoder, out / LAST)  # nothing was trained, so the trainer loaded no weights
    elif resume:
        for name in MEASURED:
            if (out / name).exists():
                (out / name).unlink()
                say(f"removed {out / name}: it measured the encoder before it was trained on")
    samples = result.steps * parts.config.training.batch_size
    save_encoder(out / ENCODER, parts.encoder, parts.data.spec, parts.config, steps=result.steps, samples=samples)


def is_first_process() -> bool:
    """Whether this is the process of rank 0, by what torchrun, SLURM and the trainer's own launcher set."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def _folder(request: Request, first: bool) -> Path:
    if request.out is not None:
        return request.out
    if os.environ.get(OUT):
        return Path(os.environ[OUT])
    if not first or "RANK" in os.environ:
        raise UsageError("several processes train together: give --out, so that all of them use one run folder")
    return next_folder(request.config)


def headline(parts: Parts, out: Path) -> str:
    """``data digits: 1,797 images | encoder vit 0.4 M | objective simclr | cpu | runs/x``"""
    import torch

    names = parts.config.parts
    count = sum(p.numel() for p in parts.encoder.parameters()) / 1e6
    device = parts.config.training.accelerator
    if device == "auto":
        device = "gpu" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    size = f"{count:.1f} M" if count >= 0.05 else f"{count * 1e3:.1f} k"
    steps = [f"encoder {names['encoder'].name} {size}", f"objective {names['objective'].name}", device, str(out)]
    return " | ".join([f"data {parts.data.describe()}", *steps])


def ignored(parts: Parts, chosen: frozenset[str]) -> list[str]:
    """A warning for each component that the user chose and the objective makes no use of."""
    objective = parts.config.parts["objective"].name
    unused = {kind for kind, part in (("mask", parts.mask), ("tokenizer", parts.tokenizer)) if part is None}
    if "decoder" not in signature(parts.config.component("objective")).wired:
        unused.add("decoder")
    found = sorted(kind for kind in unused & chosen if kind in parts.config.parts)
    return [f"warning: objective {objective!r} makes no use of a {kind}; --{kind} is ignored" for kind in found]
