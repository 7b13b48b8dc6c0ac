"""One training step: a batch becomes views, the objective sees them, and every source of chance is addressed.

The journey of a batch through one step:

1. The samples of the epoch are ordered by its seed, and a worker reads and collates a batch of them (``datamodule``).
2. Lightning moves it to the device; its count of processed micro-steps says the epoch.
3. What a model draws on its own (dropout) is reseeded from (seed, step, micro-step, rank).
4. The views are made, without gradients and in full precision; they and their masks draw from (seed, epoch, sample).
   Each that a mask may touch gets its layout, the tokenizer's content and ids, and its hidden rows (``Parts.prepare``).
5. The objective calls the encoder on them and gives the loss; with ``micro_batch``, in chunks (``gradient_cache``).
6. The loss and its parts are kept for the log (``Meter``); one that is not finite ends the run. With ``accumulate``,
   the step weighs its micro-steps by the rows that their loss is a mean of, so that each row counts once.
7. Gradients flow back, in a second pass over the chunks where there are any, are reduced over ranks and clipped.
8. The learning rate, a function of the step, is set, and the optimizer moves the weights.
9. The objective's ``after_step`` moves teacher, queue and clock, so that a checkpoint of this step has them.
10. Callbacks log, watch for collapse, probe and save (``callbacks``, ``collapse``, ``saving``).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from unlabeled.build import Parts
from unlabeled.contract import Batch, Loss, Progress
from unlabeled.errors import RunError
from unlabeled.nn.clock import after_step
from unlabeled.nn.distributed import all_reduce, convert_batchnorm, counting
from unlabeled.training.datamodule import Plan
from unlabeled.training.former import regrouped, renamed
from unlabeled.training.gradient_cache import forward_cached, sync_gradients
from unlabeled.training.optimizers import set_rate
from unlabeled.training.session import position, reseed


def step_seed(seed: int, step: int, micro: int, rank: int) -> int:
    """63 well mixed bits of (seed, step, micro-step, rank): torch's CPU generator takes only the low 32."""
    z = 0
    for word in (seed, step, micro, rank):
        z = (z + word + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        z ^= z >> 31
    return z >> 1


class Meter:
    """Losses since the last log row, kept on the device, so that no step waits for an accelerator.

    A loss that is not finite ends the run: at once on a CPU, on an accelerator when it is next read, and always before
    a checkpoint is written.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, Tensor]]] = []
        self.world = 1

    def add(self, step: int, loss: Loss) -> None:
        """Keep a micro-step's loss; ``step`` is the optimizer step that it belongs to, counted from 1."""
        parts = {name: value.detach() for name, value in loss.parts.items()}
        self.rows.append((step, {"loss": loss.total.detach(), **parts}))
        if loss.total.device.type == "cpu" and self.world == 1 and not math.isfinite(loss.total.item()):
            self.check()

    def _table(self) -> tuple[list[str], Tensor]:
        """Names, and ``float32[rows, names]`` averaged over ranks; NaN where a row lacks a name."""
        names = list(dict.fromkeys(name for _, row in self.rows for name in row))
        table = torch.stack(
            [torch.stack([row[n].float() if n in row else row["loss"].new_tensor(math.nan).float() for n in names])
             for _, row in self.rows]
        )  # fmt: skip
        if self.world > 1:
            torch.distributed.all_reduce(table)
            table /= self.world
        return names, table.cpu()

    def check(self) -> None:
        """Raise where a loss is not finite."""
        if self.rows:
            self._check(*self._table())

    def _check(self, names: list[str], table: Tensor) -> None:
        bad = ~table[:, 0].isfinite()
        if bad.any():
            index = int(bad.int().argmax())
            parts = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, table[index].tolist(), strict=True))
            raise RunError(f"the loss is not finite at step {self.rows[index][0]} ({parts})")

    def read(self) -> dict[str, float]:
        """Means since the last read, and forget them."""
        names, table = self._table()
        self._check(names, table)
        self.rows = []
        return dict(zip(names, table.nanmean(0).tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [(step, {n: v.cpu() for n, v in row.items()}) for step, row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        self.rows = [(step, {n: v.to(device) for n, v in row.items()}) for step, row in state["rows"]]


class Pretraining(LightningModule):
    """Encoder and objective under one optimizer.

    Args:
        parts: of the run.
        plan: how an epoch is cut.
        steps: optimizer steps of the whole run.
        spent: the share of a time budget that is spent, 0 without one; see :meth:`progress`.
    """

    def __init__(self, parts: Parts, plan: Plan, steps: int, spent: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__()
        self.encoder, self.objective = parts.encoder, parts.objective
        self.parts, self.plan, self.steps, self.spent = parts, plan, steps, spent
        self.training_settings = parts.config.training
        self.meter = Meter()
        self._replay: Callable[[], None] | None = None
        self._counts: list[Tensor] = []  # of the micro-steps of this step

    # ------------------------------------------------------------------------------------------ set-up

    def setup(self, stage: str) -> None:
        self.meter.world = self.trainer.world_size
        if self.trainer.world_size > 1:
            convert_batchnorm(self)

    def configure_optimizers(self) -> Optimizer:
        optimizer, self.schedule = self.wrapped.optimizer(self.steps)
        self._given = [{key: value for key, value in g.items() if key != "params"} for g in optimizer.param_groups]
        return optimizer

    @property
    def wrapped(self) -> Parts:
        """The parts of the run, with the modules as a strategy has wrapped them."""
        return replace(self.parts, encoder=self.encoder, objective=self.objective)

    def on_train_start(self) -> None:
        for group, given in zip(self.optimizers(use_pl_optimizer=False).param_groups, self._given, strict=True):  # type: ignore[union-attr]
            group.pop("decay_ramp", None)
            group |= given  # a resume may change them, and the checkpoint has brought those of before
        if self.training_settings.micro_batch and self.trainer.world_size > 1:
            # DDP's hooks would reduce after the first chunk; on_after_backward reduces once, after the last
            self.trainer.strategy.model.require_backward_grad_sync = False  # type: ignore[union-attr]

    # ------------------------------------------------------------------------------------------ a step

    def progress(self, step: int) -> Progress:
        """Where training stands after ``step`` steps; under a time budget, ``steps`` is what it has room for."""
        spent = self.spent()
        return Progress(step, self.steps if spent * self.steps <= step else max(step, round(step / spent)))

    def place(self) -> float:
        """Of the step to come, 0 to ``steps``; it may lie between two steps, see ``schedules``."""
        return max(float(self.trainer.global_step), self.spent() * self.steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        settings, step = self.training_settings, self.trainer.global_step
        done = position(self.trainer)
        epoch, micro = done // self.plan.micro_steps, done % self.plan.accumulate
        seed = step_seed(settings.seed, step, micro, self.global_rank)
        reseed(seed, self.device)
        if settings.micro_batch:
            views = self.parts.step_views(batch, epoch)
            loss, self._replay = forward_cached(self.objective, self.encoder, views, settings.micro_batch, seed)
        else:
            with counting() as rows:
                loss = self.wrapped.loss(batch, epoch)
        self.meter.add(step + 1, loss)
        return loss.total if self.plan.accumulate == 1 else loss.total * self._share(rows, len(batch), loss.total)

    def _share(self, rows: list[Tensor], samples: int, like: Tensor) -> Tensor:
        """What a micro-step counts beside the first of its step: by rows of its first mean over rows, or by samples."""
        count = rows[0] if rows else all_reduce(like.detach().new_tensor(float(samples)))
        self._counts = [*self._counts, count] if position(self.trainer) % self.plan.accumulate else [count]
        return count / self._counts[0].clamp(min=1)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self.plan.accumulate == 1:
            return
        counts = torch.stack(self._counts)
        whole = self.plan.accumulate * counts[0].clamp(min=1) / counts.sum().clamp(min=1)
        for p in self.parameters():
            if p.grad is not None:
                p.grad.mul_(whole)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        loss.backward(*args, **kwargs)
        if self._replay is not None:
            self._replay()
            self._replay = None

    def on_after_backward(self) -> None:
        if self.training_settings.micro_batch and self.trainer.world_size > 1:
            sync_gradients(self.parameters())

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        place = self.place()
        set_rate(optimizer, self.schedule(place), place / max(1, self.steps))
        optimizer.step(closure=optimizer_closure)
        # Lightning counts this step when the hook has returned
        after_step(self.objective, self.encoder, self.progress(self.trainer.global_step + 1))

    # ------------------------------------------------------------------------------------------ state

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["meter"] = self.meter.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.meter.load_state_dict(checkpoint["meter"], self.device)
        checkpoint["state_dict"] = renamed(checkpoint["state_dict"], self)
        states = checkpoint.get("optimizer_states", ())  # a sharded strategy has its own
        checkpoint["optimizer_states"] = [regrouped(state, self.encoder, self.objective) for state in states]
