"""A run from parts to a trained encoder: the plan, the callbacks, Lightning's Trainer under them, and the result.

The only entry is :func:`train`. What it promises: the same parts, config and hardware give the same weights, however
often the run is killed and resumed.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from unlabeled.build import Parts, make, too_few
from unlabeled.config.run import Training
from unlabeled.draw import Draw
from unlabeled.errors import RunError, UsageError
from unlabeled.runs.folder import LAST, METRICS
from unlabeled.training import loggers
from unlabeled.training.allocator import keep_freed_memory
from unlabeled.training.callbacks import Log, OnlineProbe, StopWatch
from unlabeled.training.collapse import Watch
from unlabeled.training.datamodule import Indices, Plan, PretrainingData, trainable
from unlabeled.training.gradient_cache import refuse_uncached
from unlabeled.training.module import Pretraining
from unlabeled.training.progress import display
from unlabeled.training.saving import SPARE, AtomicCheckpointIO, Save, remove_stale, sound
from unlabeled.training.session import Session

SHARDED = ("fsdp", "deepspeed")  # strategies that write a folder per checkpoint, by means of their own


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Args:
        out: the run folder.
        steps: optimizer steps done, over all resumes.
        epochs: passes over the data done.
        seconds: of training, over all resumes.
        samples_per_second: of this session.
        interrupted: whether a signal ended it; ``resume=True`` goes on.
        stopped: steps, epochs, minutes, collapse or interrupted.
        collapse: what collapsed, or None.
        loss: mean of the last log row.
        parts: the objective's terms, likewise.
        rank: of this process; only rank 0 writes the encoder.
    """

    out: Path
    steps: int
    epochs: float
    seconds: float
    samples_per_second: float
    interrupted: bool
    stopped: str
    collapse: str | None
    loss: float | None
    parts: dict[str, float] = field(default_factory=dict)
    rank: int = 0


def train(parts: Parts, out: Path, *, resume: bool = False) -> Result:
    """Train ``parts.encoder`` and ``parts.objective`` in place, and write into the run folder ``out``.

    ``resume`` goes on from ``out/checkpoints/last.ckpt``, and starts over where the run was killed before the first.
    """
    settings = parts.config.training
    with quiet(), kept_generator():
        trainer = _trainer(settings, out)
        if trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        plan = Plan(len(trainable(parts.data)), settings.batch_size, settings.accumulate, trainer.world_size)
        steps = total_steps(settings, plan)
        checkpoint = out / LAST
        start, checkpoint, note = _start(checkpoint, resume)
        budget = None if settings.minutes is None else 60 * settings.minutes
        session = Session(steps, plan.steps, settings.batch_size, start, budget)
        if start >= steps:
            return _result(session, trainer, start, _reason(session, settings, plan))
        module = _module(parts, plan, session)
        _fit(trainer, module, out, session, checkpoint if start else None, note)
        return _result(session, trainer, trainer.global_step, _reason(session, settings, plan))


def check(parts: Parts, out: Path) -> None:
    """Raise for everything that training would refuse, before there is a run folder."""
    settings = parts.config.training
    loggers.require(settings.logger)
    with quiet(), kept_generator():
        trainer = _trainer(settings, out)
        check_views(parts)
        plan = Plan(len(trainable(parts.data)), settings.batch_size, settings.accumulate, trainer.world_size)
        if errors := too_few(parts.config, parts.objective.needs, trainer.world_size):
            raise UsageError(errors[0])
        session = Session(total_steps(settings, plan), plan.steps, settings.batch_size, 0)
        _module(parts, plan, session).configure_optimizers()


def check_views(parts: Parts) -> None:
    """:class:`UsageError` where the encoder refuses a view; two samples are tried, and one view of each role."""
    seed = parts.config.training.seed
    batch = parts.data.__getitems__(Indices(trainable(parts.data)[:2].tolist(), seed, 0))
    views = parts.views(batch, Draw(seed, 0, batch.ids))
    training = parts.encoder.training
    parts.encoder.eval()
    try:
        with torch.no_grad():
            for view in {view.role: view for view in views}.values():
                parts.encoder(view)
    except ValueError as error:
        chosen = parts.config.parts
        raise UsageError(
            f"encoder {chosen['encoder'].name!r} cannot read what views {chosen['views'].name!r} make: {error}"
        ) from error
    finally:
        parts.encoder.train(training)


def total_steps(settings: Training, plan: Plan) -> int:
    """Optimizer steps of the run, should the minutes suffice."""
    steps = settings.epochs * plan.steps
    return steps if settings.steps is None else min(steps, settings.steps)


# ---------------------------------------------------------------------------------------------- set-up


def _trainer(settings: Training, out: Path) -> Trainer:
    sharded = settings.strategy.startswith(SHARDED)
    try:
        return Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            precision=settings.precision,  # type: ignore[arg-type]
            max_epochs=-1,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=settings.clip or None,
            default_root_dir=out,
            plugins=None if sharded else [AtomicCheckpointIO()],
            use_distributed_sampler=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UsageError(
            f"lightning refuses accelerator {settings.accelerator!r}, devices {settings.devices!r}, strategy "
            f"{settings.strategy!r}, precision {settings.precision!r}: {error}"
        ) from error


def _module(parts: Parts, plan: Plan, session: Session) -> Pretraining:
    parts.encoder.train()
    parts.objective.train()
    if parts.config.training.micro_batch:
        refuse_uncached(parts.objective, parts.encoder)
    if parts.config.training.compile:
        parts.encoder.compile()
    return Pretraining(parts, plan, session.steps, lambda: session.spent)


def _start(checkpoint: Path, resume: bool) -> tuple[int, Path, str]:
    """The step to start from, 0 or that of the checkpoint; the checkpoint, and a line where it is the one before."""
    remove_stale(checkpoint.parent)
    if not (resume and checkpoint.exists()):
        return 0, checkpoint, ""
    if checkpoint.is_dir():  # a sharded strategy's own format
        meta = torch.load(checkpoint / "meta.pt", map_location="cpu", weights_only=True)
        return int(meta["global_step"]), checkpoint, ""
    found, note = sound(checkpoint)
    if found is None:
        raise UsageError(f"cannot resume from {checkpoint}: it is no checkpoint of a run, {note}")
    try:
        return int(torch.load(found, map_location="cpu", weights_only=True, mmap=True)["global_step"]), found, note
    except (RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"cannot resume from {found}: it is no checkpoint of a run ({cause})") from error


def _sinks(parts: Parts, out: Path, start: int) -> list[loggers.Sink]:
    """Where rows go on rank 0."""
    settings = parts.config.training
    sinks: list[Any] = [loggers.Jsonl(out / METRICS, start)]
    if settings.tensorboard:
        sinks.append(loggers.tensorboard(out, start))
    if settings.logger != "none":
        sinks.append(make(parts.config.domain, "logger", settings.logger, {}, {"out": out, "run": out.name}))
    return sinks


def _fit(
    trainer: Trainer, module: Pretraining, out: Path, session: Session, checkpoint: Path | None, note: str = ""
) -> None:
    parts, plan, settings = module.parts, module.plan, module.training_settings
    sinks = _sinks(parts, out, session.start) if trainer.is_global_zero else []
    shown = display(trainer.global_rank, session.start, session.steps)
    if note:
        shown.say(note)
    watch = Watch(parts.encoder, parts.objective, parts.config.parts["objective"].name)
    report = getattr(parts.data, "report", lambda batch: ())
    stop = StopWatch(session, settings.stop_on_collapse, settings.log_every, shown.say)
    callbacks: list[Any] = [stop, Log(session, settings.log_every, watch, sinks, shown, report)]
    if settings.probe_every and parts.data.labels is not None:
        callbacks.append(OnlineProbe(parts, settings.probe_every * plan.steps, sinks, shown))
    every, spare = (settings.checkpoint_every, 0.0) if settings.checkpoint_every else (plan.steps, SPARE)
    callbacks.append(Save(out / LAST, every, spare))
    trainer.callbacks.extend(callbacks)  # type: ignore[attr-defined]
    trainer.fit_loop.epoch_loop.max_steps = session.steps
    data = PretrainingData(parts.data, plan, settings.seed, settings.workers, parts.transfer)
    status = "failed"
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        status = "success"
    except RunError as error:
        raise RunError(f"{error}. {_advice(out / LAST)}") from error
    except RuntimeError as error:
        if "state_dict" in str(error):
            raise UsageError(f"{checkpoint} is of another model than this config builds: {error}") from error
        raise
    finally:
        stop.close()
        watch.close()
        shown.close()
        for sink in sinks:
            sink.finalize(status)


# ---------------------------------------------------------------------------------------------- the end


def _advice(checkpoint: Path) -> str:
    """What to do once a run has diverged."""
    change = "lower --lr, clip gradients with --clip 1, or use --precision 32-true"
    if not checkpoint.is_file():
        return f"There is no checkpoint yet: {change}, and start again with --overwrite"
    step = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"]
    return f"The last checkpoint, of step {step}, is good: {change}, and go on with --resume"


def _reason(session: Session, settings: Training, plan: Plan) -> str:
    if session.stop:
        return session.stop
    return "steps" if settings.steps is not None and settings.steps <= settings.epochs * plan.steps else "epochs"


def _result(session: Session, trainer: Trainer, steps: int, stopped: str) -> Result:
    seconds = session.seconds - session.before
    return Result(
        out=Path(trainer.default_root_dir),
        steps=steps,
        epochs=steps / session.per_epoch,
        seconds=session.seconds,
        samples_per_second=(steps - session.start) * session.batch_size / seconds if seconds > 0 else 0.0,
        interrupted=stopped == "interrupted",
        stopped=stopped,
        collapse=session.collapse or None,
        loss=session.last.get("loss"),
        parts=session.last.get("parts", {}),
        rank=trainer.global_rank,
    )


@contextlib.contextmanager
def kept_generator() -> Iterator[None]:
    """Torch's generator is reseeded at every step; the caller's is as it was afterwards."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Lightning's banners, tips and advice about workers are not about this run."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    found = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for text in ADVICE:
            warnings.filterwarnings("ignore", message=text)
        try:
            yield
        finally:
            for name, level in found.items():
                logging.getLogger(name).setLevel(level)


ADVICE = (
    ".*does not have many workers.*",
    ".*your dataloader is not resumable.*",
    ".*in eval mode.*",
    ".*available but not used.*",
    ".*isinstance.treespec.*",
    ".*Consider setting `persistent_workers.*",
    ".*Checkpoint directory.*exists and is not empty.*",
)
