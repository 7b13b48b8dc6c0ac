"""A run from its checked configuration to its folder: everything is tried before any folder is made.

Order: the folder is looked at, the parts are built, the trainer is set up once on trial; only then is an old run
deleted, ``config.yaml`` written, and the encoder trained and saved. Torch is imported on first use.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.config.implied import command, located, told
from unlabeled.config.run import RunConfig
from unlabeled.config.settings import signature
from unlabeled.errors import UsageError
from unlabeled.runs.folder import MEASURED, RunFolder, check_resume, write_json
from unlabeled.runs.lock import locked
from unlabeled.runs.waiting import Say as Say
from unlabeled.runs.waiting import waiting

if TYPE_CHECKING:
    from unlabeled.build import Parts
    from unlabeled.training.run import Result

OUT = "UNLABELED_OUT"  # tells the processes that the trainer starts for other ranks which folder the first one took


def quiet(line: str) -> None:
    """Say nothing."""


def start(
    config: RunConfig,
    out: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    chosen: frozenset[str] = frozenset(),
    say: Say = quiet,
) -> Result:
    """Check everything, then make the run folder, train, and write the encoder.

    Args:
        config: complete and checked.
        out: the run folder; None = the next free one under ``runs/``.
        resume: go on with the run in ``out``.
        overwrite: delete the run in ``out`` first.
        chosen: kinds that the user named or set, so that one which the objective ignores is told.
        say: told what is under way.
    """
    with contextlib.ExitStack() as held:
        return _start(config, out, held, resume=resume, overwrite=overwrite, chosen=chosen, say=say)


def _start(
    config: RunConfig,
    out: Path | None,
    held: contextlib.ExitStack,
    *,
    resume: bool,
    overwrite: bool,
    chosen: frozenset[str],
    say: Say,
) -> Result:
    """The same, with the lock of the folder among what is ``held``: from now on, or from when there is one."""
    first = is_first_process()
    run = _folder(config, out, first)
    changes: dict[str, list[Any]] = {}
    there = run.path.is_dir()
    if first:
        run.check_out(resume=resume, overwrite=overwrite)
        if resume:
            changes = check_resume(run.config, config)
        if there:
            held.enter_context(locked(run.path))

    from unlabeled.build import build
    from unlabeled.data.about import named
    from unlabeled.runs.encoder import initialize
    from unlabeled.training.run import check as check_training
    from unlabeled.training.run import train

    with waiting(say if first else quiet, f"reading {config.parts['data'].name} {config.data_path or ''}".rstrip()):
        parts = build(config)
        check_training(parts, run.path)
    if config.training.init and not resume:
        start_at, encoder = located(config.training.init), config.parts["encoder"]
        try:
            beside = initialize(parts.encoder, start_at)
        except UsageError as error:
            raise UsageError(f"{error}{command(start_at, encoder.name, encoder.settings)}") from error
        if first and (line := told(start_at, config.parts["data"].settings)):
            say(line)
        if first and beside:
            say(f"left out of {config.training.init}, as they are not the encoder's: {named(beside)}")
    if first:
        for line in [*ignored(parts, chosen), *ramped(parts, chosen), headline(parts, run.path)]:
            say(line)
        if not there:
            run.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(run.path))
            run.check_out(resume=resume, overwrite=overwrite)  # another process may have made it meanwhile
        if overwrite and run.is_run:
            run.clear()
        run.write(config)
        if changes:
            say(run.record(changes))
    os.environ[OUT] = str(run.path)
    try:
        result = train(parts, run.path, resume=resume)
    finally:
        del os.environ[OUT]
    if first:
        _finish(parts, run, result, resume, say)
    return result


def _finish(parts: Parts, run: RunFolder, result: Result, resume: bool, say: Say) -> None:
    """Write the encoder folder; numbers that were measured on earlier weights go."""
    from unlabeled.runs.encoder import CONFIG as INFO
    from unlabeled.runs.encoder import read_info, save_encoder
    from unlabeled.runs.weights import restore

    if resume and result.samples_per_second == 0:
        say(f"all {result.steps} steps were done already; more epochs go on with the run")
        restore(parts.encoder, run.last)  # nothing was trained, so the trainer loaded no weights
    elif resume:
        for name in MEASURED:
            if (run.path / name).exists():
                (run.path / name).unlink()
                say(f"removed {run.path / name}: it measured the encoder before it was trained on")
    samples = result.steps * parts.config.training.batch_size
    save_encoder(run.encoder, parts.encoder, parts.data.spec, parts.config, steps=result.steps, samples=samples)
    if result.interrupted:
        info = read_info(run.encoder)
        write_json(run.encoder / INFO, {**info, "provenance": {**info["provenance"], "stopped": result.stopped}})


def is_first_process() -> bool:
    """Whether this is the process of rank 0, by what torchrun, SLURM and the trainer's own launcher set."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def _folder(config: RunConfig, out: Path | None, first: bool) -> RunFolder:
    if out is not None:
        return RunFolder(out)
    if os.environ.get(OUT):
        return RunFolder(os.environ[OUT])
    if not first or "RANK" in os.environ:
        raise UsageError("several processes train together: give --out, so that all of them use one run folder")
    return RunFolder.next(config)


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


def ramped(parts: Parts, chosen: frozenset[str]) -> list[str]:
    """What a setting of the optimizer that the user gave does not say: weight decay that a recipe lets rise."""
    own = parts.config.parts["optimizer"].settings
    first, last = own.get("weight_decay"), own.get("final_weight_decay")
    if "optimizer" not in chosen or last is None or first == last:
        return []
    return [f"weight decay goes from {first:g} to {last:g} over the run: --optimizer.final-weight-decay sets its end"]


def ignored(parts: Parts, chosen: frozenset[str]) -> list[str]:
    """A warning for each component that the user chose and the objective makes no use of."""
    objective = parts.config.parts["objective"].name
    unused = {kind for kind, part in (("mask", parts.mask), ("tokenizer", parts.tokenizer)) if part is None}
    if "decoder" not in signature(parts.config.component("objective")).wired:
        unused.add("decoder")
    found = sorted(kind for kind in unused & chosen if kind in parts.config.parts)
    return [f"warning: objective {objective!r} makes no use of a {kind}; --{kind} is ignored" for kind in found]
