"""A data set, an encoder and an objective with all kinds of state, small enough to train in a second.

Run as a script, it trains in forks of one process, ``python toy_training.py BASE '[["run", {"training": {...}}]]'``,
and writes what each printed to ``BASE/run.txt``.
Tests load it by path, since a tests folder is no package.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.build import Parts
from unlabeled.config.run import Choice, RunConfig, Training
from unlabeled.contract import Features, Layout, Loss, Needs, Progress, View
from unlabeled.draw import Draw
from unlabeled.nn.distributed import BatchNorm, gather
from unlabeled.training.run import Result, train

WIDTH, DIM = 12, 8


@dataclass
class ToyBatch:
    ids: Tensor
    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> ToyBatch:
        return ToyBatch(self.ids.to(device), self.x.to(device))

    def __getitem__(self, samples: slice) -> ToyBatch:
        return ToyBatch(self.ids[samples], self.x[samples])


class ToyData:
    """Samples of standard normal numbers around one of three centers; the label is the center."""

    spec = None
    classes = ("a", "b", "c")
    test = None

    def __init__(self, samples: int, poison: int = -1) -> None:
        self.samples, self.poison = samples, poison
        self.labels = torch.arange(samples) % 3

    def __len__(self) -> int:
        return self.samples

    def __getitems__(self, indices: list[int]) -> ToyBatch:
        ids = torch.tensor(indices)
        x = Draw(7, 0, ids).normal(WIDTH, 2000) + 3 * F.one_hot(ids % 3, WIDTH)
        x[ids == self.poison] = torch.nan
        return ToyBatch(ids, x)

    def describe(self) -> str:
        return f"{self.samples} toy samples"


class ToyViews:
    """Noisy views."""

    params = ()

    def __init__(self, roles: tuple[str, ...] = ("global", "global"), noise: float = 0.3) -> None:
        self.roles, self.noise = roles, noise

    def __call__(self, batch: ToyBatch, draw: Draw) -> list[View]:
        shape = batch.x.shape[1]
        return [
            View(ToyBatch(batch.ids, batch.x + self.noise * draw.at(number).normal(shape, 2001)), role)
            for number, role in enumerate(self.roles)
        ]


class CleanViews(ToyViews):
    """The sample itself."""

    def __init__(self, spec: None) -> None:
        super().__init__(("clean",), 0.0)


class ToyEncoder(nn.Module):
    """A perceptron with BatchNorm, or without and with dropout."""

    can = frozenset()

    def __init__(self, *, batchnorm: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim = DIM
        norm = BatchNorm(16) if batchnorm else nn.LayerNorm(16)
        self.body = nn.Sequential(nn.Linear(WIDTH, 16), norm, nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, DIM))

    def layout(self, batch: ToyBatch) -> Layout:
        return Layout((1,) * len(batch), torch.zeros(len(batch), 0))

    def forward(self, view: View, *, hide: str = "mask", layers: tuple[int, ...] = ()) -> Features:
        x = self.body(view.batch.x.to(self.body[0].weight.dtype))
        return Features(x, self.layout(view.batch), x)


class ToyObjective(nn.Module):
    """NT-Xent with a BatchNorm projector, against a queue of an EMA teacher's keys: state of every kind."""

    needs = Needs(views={"global": 2}, couples=True)

    def __init__(self, encoder: ToyEncoder, queue: int = 0) -> None:
        super().__init__()
        self.projector = nn.Sequential(nn.Linear(DIM, 16), BatchNorm(16), nn.ReLU(), nn.Linear(16, DIM))
        self.teacher = nn.Linear(WIDTH, DIM).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(queue, DIM), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.keys: Tensor | None = None

    def forward(self, encoder: Any, views: list[View]) -> Loss:
        z1, z2 = (F.normalize(self.projector(encoder(view).pooled), dim=1) for view in views)
        with torch.no_grad():
            self.keys = gather(F.normalize(self.teacher(views[1].batch.x.to(z1.dtype)), dim=1))
        all2, rows = gather(z2), torch.arange(len(z1))
        offset = (torch.distributed.get_rank() if len(all2) > len(z1) else 0) * len(z1)
        logits = torch.cat([z1 @ all2.T, z1 @ self.queue.T], dim=1) / 0.2
        loss = F.cross_entropy(logits, rows + offset)
        return Loss(loss, {"similarity": (z1 * z2).sum(1).mean().detach()})

    @torch.no_grad()
    def after_step(self, encoder: Any, progress: Progress) -> None:
        momentum = 0.9 + 0.1 * progress.fraction
        for mine, theirs in zip(self.teacher.parameters(), encoder.body[0].parameters(), strict=True):
            mine.lerp_(theirs[:DIM], 1 - momentum)
        if len(self.queue):
            place = (torch.arange(len(self.keys)) + self.pointer) % len(self.queue)
            self.queue[place] = self.keys
            self.pointer.add_(len(self.keys))


def toy_parts(
    *,
    samples: int = 80,
    poison: int = -1,
    queue: int = 32,
    noise: float = 0.3,
    batchnorm: bool = True,
    dropout: float = 0.1,
    optimizer: str = "adamw",
    schedule: str = "cosine",
    lr: float = 0.01,
    dtype: str = "float32",
    training: dict[str, Any] | None = None,
) -> Parts:
    settings = {"batch_size": 16, "accelerator": "cpu", "devices": 1, "tensorboard": False, **(training or {})}
    choices = {
        "objective": Choice("simclr"),
        "optimizer": Choice(optimizer, {"lr": lr}),
        "schedule": Choice(schedule),
    }
    config = RunConfig("toy", choices, Training(**settings))
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        encoder = ToyEncoder(batchnorm=batchnorm, dropout=dropout).to(getattr(torch, dtype))
        objective = ToyObjective(encoder, queue).to(getattr(torch, dtype))
    return Parts(config, ToyData(samples, poison), ToyViews(noise=noise), None, None, encoder, objective)


def run(out: Path, *, resume: bool = False, **options: Any) -> tuple[Result, Parts]:
    parts = toy_parts(**options)
    return train(parts, out, resume=resume), parts


def weights(parts: Parts) -> dict[str, Tensor]:
    """Everything that a step can change."""
    found = {f"encoder.{k}": v for k, v in parts.encoder.state_dict().items()}
    return found | {f"objective.{k}": v for k, v in parts.objective.state_dict().items()}


def run_job(folder: Path, job: dict[str, Any]) -> None:
    result, trained = run(folder, **job)
    print("RESULT", json.dumps({"steps": result.steps, "interrupted": result.interrupted, "stopped": result.stopped}))
    sys.stdout.flush()
    if result.rank == 0:
        torch.save(weights(trained), folder / "weights.pt")


class Alarm:
    """Standard output that signals its own process after ``lines`` rows: on a busy machine a reader comes too late."""

    def __init__(self, stream: TextIO, lines: int, number: int) -> None:
        self.stream, self.lines, self.number = stream, lines, number

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        self.lines -= text.startswith("step ")
        if self.lines == 0 and self.number:
            number, self.number = self.number, 0  # its handler writes too
            os.kill(os.getpid(), number)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def run_and_signal(folder: Path, job: dict[str, Any], lines: int, number: int, delay: float) -> str:
    """Run the job in a fork, torch being imported already; ``delay`` seconds after ``lines`` rows, send the signal.

    Without a delay the fork sends it to itself.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(sender, 1)
        if delay == 0:
            sys.stdout = Alarm(sys.stdout, lines, number)  # type: ignore[assignment]
        os.close(receiver)
        os.close(sender)
        run_job(folder, job)
        os._exit(0)
    os.close(sender)
    seen, text = 0, ""
    with os.fdopen(receiver) as stream:
        for line in stream:
            text += line
            seen += line.startswith("step ")
            if seen == lines and number and delay:
                time.sleep(delay)
                os.kill(child, number)
                if number == signal.SIGKILL:  # its readers live on for seconds, and hold the pipe
                    break
                number = 0
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return f"{text}EXIT {status}\n"


def run_ranks(folder: Path, job: dict[str, Any], ranks: int) -> str:
    """Run the job in one fork for each rank, as torchrun or SLURM would start it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
            os.environ |= {"MASTER_PORT": str(port)}
            run_job(folder, job)
            os._exit(0)
        children.append(child)
    return "".join(f"EXIT {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n" for child in children)


if __name__ == "__main__":
    torch.set_num_threads(1)
    base, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])
    for name, each in jobs:
        ranks, signal_after = each.pop("ranks", 0), each.pop("signal_after", [0, 0, 0.0])
        folder = base / name
        report = run_ranks(folder, each, ranks) if ranks else run_and_signal(folder, each, *signal_after)
        with (base / f"{name}.txt").open("a") as file:
            file.write(report)
