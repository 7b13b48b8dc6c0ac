"""Callbacks after a step, in this order: stop?, log, probe online, save (``saving.Save``).

All of it happens in ``on_train_batch_end`` of a completed step, so that a checkpoint holds what was decided before it.
Nothing here waits for an accelerator between log rows.
"""

import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from unlabeled.build import Parts, clean_views
from unlabeled.draw import Draw, Purpose
from unlabeled.training.collapse import Watch
from unlabeled.training.loggers import Sink
from unlabeled.training.progress import Display
from unlabeled.training.session import Session, Stop, stepped

STOPS: tuple[Stop, ...] = ("", "collapse", "minutes", "interrupted")  # the later one wins where ranks differ
Report = Callable[[Any], Sequence[str]]  # what a data set says of a batch: samples that could not be read
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SYNC = 10  # steps between agreements of several ranks to stop
PATIENCE = 5  # seconds until a run without a row says that it is under way
PROBED = 2000  # samples of an online probe, half of them its bank


class StopWatch(Callback):
    """Ends the run at a step's end: on SIGINT or SIGTERM, when the minutes are spent, when the features collapsed."""

    def __init__(self, session: Session, stop_on_collapse: bool, every: int, say: Callable[[str], None]) -> None:
        self.session, self.stop_on_collapse, self.every, self.say = session, stop_on_collapse, every, say
        self.signaled = False
        # taken now: Lightning puts its own in their place before training starts
        self._handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.session.started = time.perf_counter()
        if self.session.budget and self.session.before >= self.session.budget:
            self.session.stop = "minutes"
            trainer.should_stop = True
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signaled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signaled = True
        self.say(f"{signal.Signals(number).name}: finishing this step and saving. Ctrl-C again quits at once.")

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if not stepped(trainer):
            return
        session, step = self.session, trainer.global_step
        if trainer.world_size > 1 and step % SYNC and step % self.every and step < trainer.max_steps:
            return
        spent = session.elapsed() / session.budget if session.budget else 0.0
        stop: Stop = ""
        if self.signaled:
            stop = "interrupted"
        elif spent >= 1:
            stop = "minutes"
        elif session.collapse and self.stop_on_collapse:
            stop = "collapse"
        session.spent, session.stop = self._agree(trainer, spent, stop)
        if session.stop:
            trainer.should_stop = True

    def _agree(self, trainer: Trainer, spent: float, stop: Stop) -> tuple[float, Stop]:
        """The largest of all ranks: they must take the same rate and stop at the same step."""
        if trainer.world_size == 1:
            return spent, stop
        both = torch.tensor([spent, float(STOPS.index(stop))], device=trainer.strategy.root_device)
        torch.distributed.all_reduce(both, torch.distributed.ReduceOp.MAX)
        spent, code = both.tolist()
        return spent, STOPS[int(code)]

    def close(self) -> None:
        """Give the signals back, and stop the clock."""
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        self.session.seconds = self.session.elapsed()

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self.session.elapsed(), "spent": self.session.spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.session.before, self.session.spent = state_dict["elapsed"], state_dict["spent"]


class Log(Callback):
    """A row every ``every`` steps and at the last one: losses averaged since the last row, and how training fares."""

    def __init__(
        self,
        session: Session,
        every: int,
        watch: Watch,
        sinks: Sequence[Sink],
        display: Display,
        report: Report,
    ) -> None:
        self.session, self.every, self.watch = session, every, watch
        self.sinks, self.display, self.report = sinks, display, report
        self._waited, self._step = 0.0, 0
        self._norm: Tensor | None = None
        self._first = threading.Timer(PATIENCE, display.say)  # started with training

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        step = min(self.session.steps, (trainer.global_step // self.every + 1) * self.every)
        text = f"training for {PATIENCE} s: the first row comes after step {step} of {self.session.steps}"
        self._first = threading.Timer(PATIENCE, self.display.say, [text])
        self._first.daemon = True
        self._first.start()
        self._step = trainer.global_step
        self._ended = self._since = time.perf_counter()

    def _due(self, trainer: Trainer, step: int) -> bool:
        return step % self.every == 0 or step == trainer.max_steps

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, *_: Any) -> None:
        self._waited += time.perf_counter() - self._ended
        for text in self.report(batch):
            self.display.say(text)
        if self._due(trainer, trainer.global_step + 1):
            self.watch.arm()

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Any) -> None:
        if self._due(trainer, trainer.global_step + 1):
            self._norm = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if stepped(trainer):
            step = trainer.global_step
            self.display.advance(step)
            if self._due(trainer, step) or self.session.stop in ("minutes", "collapse"):
                self._log(trainer, module, step)
        self._ended = time.perf_counter()

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._first.cancel()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self._first.cancel()

    def _log(self, trainer: Trainer, module: Any, step: int) -> None:
        self._first.cancel()
        losses = module.meter.read()
        loss = losses.pop("loss")
        watched, collapse = self.watch.read(losses)
        now = time.perf_counter()
        seconds, taken = max(now - self._since, 1e-9), step - self._step
        row = {
            "epoch": round(step / self.session.per_epoch, 4),
            "loss": loss,
            "parts": losses,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "samples_per_second": taken * self.session.batch_size / seconds,
            "data_wait": min(1.0, self._waited / seconds),
            **watched,
            **({} if self._norm is None else {"grad_norm": self._norm.item()}),
            "seconds": self.session.elapsed(),
        }
        self._waited, self._since, self._step = 0.0, now, step
        self._norm = None
        self.session.last = row
        write(self.sinks, step, row)
        left = (self.session.steps - step) * seconds / max(1, taken)
        if self.session.budget:
            left = min(left, self.session.budget - self.session.elapsed())
        done = step / max(1, self.session.steps)
        if self.session.budget:
            done = min(1.0, max(done, self.session.elapsed() / self.session.budget))
        self.display.show(step, self.session.steps, {**row, "eta_seconds": left, "done": done})
        if collapse and not self.session.collapse:
            warnings.warn(self.watch.message(collapse), stacklevel=2)
            self.session.collapse = collapse


def write(sinks: Sequence[Sink], step: int, row: Mapping[str, Any]) -> None:
    """A row to every sink: nested to ``metrics.jsonl``, flat (``parts/invariance``) to the others."""
    from unlabeled.training.loggers import Jsonl

    parts = {f"parts/{name}": value for name, value in row.get("parts", {}).items()}
    flat = {name: value for name, value in row.items() if name != "parts"} | parts
    for sink in sinks:
        sink.log_metrics(dict(row) if isinstance(sink, Jsonl) else flat, step)


class OnlineProbe(Callback):
    """k-NN accuracy of frozen features of clean views, every ``every`` steps, on at most 2,000 labeled samples."""

    def __init__(self, parts: Parts, every: int, sinks: Sequence[Sink], display: Display) -> None:
        self.parts, self.every, self.sinks, self.display = parts, every, sinks, display
        self.views = clean_views(parts.config.domain, parts.data.spec)
        self.train, self.test = probe_samples(parts)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if stepped(trainer) and trainer.global_step % self.every == 0 and trainer.is_global_zero:
            accuracy = self.accuracy(module.device)
            step = trainer.global_step
            write(self.sinks, step, {"knn": accuracy})
            self.display.say(f"step {step:05d} | online knn {accuracy:.4f} (on {len(self.test)} samples)")

    def accuracy(self, device: torch.device) -> float:
        """Of the encoder as it is, which is left as it was."""
        from unlabeled.probes.embedding import embed
        from unlabeled.probes.knn import knn_accuracy

        parts, labels = self.parts, self.parts.data.labels
        assert labels is not None
        both = (self.train, self.test)
        train, test = (embed(parts.encoder, parts.data, self.views, indices=ids, device=device).x for ids in both)
        return knn_accuracy(train, labels[self.train], test, labels[self.test])


def probe_samples(parts: Parts) -> tuple[Tensor, Tensor]:
    """Labeled samples for the bank and the queries, at most 1,000 each, the same in every run of this data."""
    labels, test = parts.data.labels, parts.data.test
    assert labels is not None
    val = getattr(parts.data, "val", None)
    known = (labels >= 0 if val is None else (labels >= 0) & ~val).nonzero()[:, 0]
    known = known[torch.argsort(Draw(0, 0, known).words(1, Purpose.SPLIT)[:, 0])]
    if test is not None and test[known].any() and not test[known].all():
        bank, queries = known[~test[known]], known[test[known]]
    else:
        bank, queries = known[: len(known) // 2], known[len(known) // 2 :]
    return bank[: PROBED // 2], queries[: PROBED // 2]
