"""The order of samples, addressed by (seed, epoch), and the loader that reads them from any position.

An epoch's order is a permutation of the samples that training may see: all but those that the data set itself holds
out for its test, so that no probe is ever asked about a sample that pre-training saw. Rank r of W takes
``global_batch[r*b:(r+1)*b]``. The last, smaller batch of an epoch is left out, and another order brings its samples
in the next one. Nothing here has state: after a resume the sampler starts where the loop says that it stands.

    # N samples to train on, b samples per micro-step and rank, W ranks
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Sampler

from unlabeled.build import trainable as trainable
from unlabeled.contract import Batch, Data
from unlabeled.draw import Draw, Purpose, mix64
from unlabeled.errors import UsageError
from unlabeled.training.session import position


def order(samples: int, seed: int, epoch: int) -> torch.Tensor:
    """``int64[N]``: the permutation of an epoch."""
    words = Draw(seed, epoch, torch.arange(samples)).words(1, Purpose.ORDER)[:, 0]
    return torch.argsort(mix64(words), stable=True)


@dataclass(frozen=True)
class Plan:
    """How an epoch is cut into steps, micro-steps and the parts of ranks."""

    samples: int
    batch_size: int
    accumulate: int = 1
    world: int = 1

    def __post_init__(self) -> None:
        if not self.samples:
            raise UsageError(
                "no sample is left to train on: all of the data is held out; give data that has a train side"
            )
        if self.batch_size > self.samples:
            raise UsageError(
                f"the data has {self.samples} samples to train on, fewer than one batch of {self.batch_size}: "
                f"set --batch-size to {self.samples} or less"
            )
        parts = self.accumulate * self.world
        if self.batch_size % parts:
            below = self.batch_size // parts * parts or parts
            raise UsageError(
                f"--batch-size {self.batch_size} cannot be split over {self.world} devices and {self.accumulate} "
                f"accumulated micro-steps: it must be a multiple of {parts}, for example {below}"
            )

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return self.samples // self.batch_size

    @property
    def micro_steps(self) -> int:
        """Micro-steps of an epoch."""
        return self.steps * self.accumulate

    @property
    def rows(self) -> int:
        """b, the samples of a rank in a micro-step."""
        return self.batch_size // (self.accumulate * self.world)


class Indices(list[int]):
    """What ``Data.__getitems__`` is asked for in training: plain indices that also say the run's seed and the epoch.

    A data set that draws while it reads, such as neighbors of a node, draws by them; probes ask with plain lists.
    ``spare`` are samples of train that nothing else in the epoch has: they stand in for what cannot be read. ``whole``:
    the batch must keep its size, as its parts on all ranks are gathered.
    """

    def __init__(self, ids: list[int], seed: int, epoch: int, spare: Sequence[int] = (), whole: bool = False) -> None:
        super().__init__(ids)
        self.seed, self.epoch, self.spare, self.whole = seed, epoch, tuple(spare), whole

    def __reduce__(self) -> tuple[Any, ...]:
        return Indices, (list(self), self.seed, self.epoch, self.spare, self.whole)


class AddressedBatches(Sampler[list[int]]):
    """Batches of this rank from the position that ``position()`` gives, in micro-steps since the start of the run.

    ``pool[N]`` are the ids that are drawn from. ``arrange(ids, size)`` puts an epoch's ids into another order, of which
    each run of ``size`` is a batch of all ranks: samples of like lengths, or batches of like totals of tokens. It has
    to be a function of the ids alone, so that a resume and another number of ranks find the same batches.
    ``form(ids, size, parts)``, where it is given, makes the batches in its stead: as many as there would be of
    ``size``, of any size that ``parts`` divides.
    """

    def __init__(
        self,
        plan: Plan,
        pool: torch.Tensor,
        seed: int,
        rank: int,
        position: Callable[[], int],
        arrange: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
        form: Callable[[torch.Tensor, int, int], Sequence[torch.Tensor]] | None = None,
    ) -> None:
        assert len(pool) == plan.samples, (len(pool), plan.samples)
        self.plan, self.pool, self.seed, self.rank, self.position = plan, pool, seed, rank, position
        self.arrange, self.form = arrange, form

    def __len__(self) -> int:
        return self.plan.micro_steps

    def __iter__(self) -> Iterator[list[int]]:
        epoch, start = divmod(self.position(), len(self))
        ids = self.pool[order(self.plan.samples, self.seed, epoch)]
        parts, batches = self.plan.accumulate * self.plan.world, self._batches(ids)
        left = ids[~torch.isin(ids, torch.cat([torch.as_tensor(batch) for batch in batches]))].tolist()
        for micro in range(start, len(self)):
            step, turn = divmod(micro, self.plan.accumulate)
            b = len(batches[step]) // parts
            begin = (turn * self.plan.world + self.rank) * b
            spare = left[micro * self.plan.world + self.rank :: len(self) * self.plan.world]  # no two batches share any
            own = batches[step][begin : begin + b].tolist()
            yield Indices(own, self.seed, epoch, spare, whole=self.plan.world > 1)

    def _batches(self, ids: torch.Tensor) -> Sequence[torch.Tensor]:
        """The samples of each step of an epoch, over all ranks and micro-steps."""
        plan, parts = self.plan, self.plan.accumulate * self.plan.world
        if self.form is None:
            ids = ids if self.arrange is None else self.arrange(ids, plan.batch_size)
            return ids[: plan.steps * plan.batch_size].split(plan.batch_size)
        found = self.form(ids, plan.batch_size, parts)
        assert len(found) == plan.steps, (len(found), plan.steps)
        assert all(len(batch) and len(batch) % parts == 0 for batch in found), ([len(b) for b in found], parts)
        return found


def _as_read(batch: Any) -> Any:
    return batch  # ``Data.__getitems__`` has collated it


def ignore_signals(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the trainer alone decides when its readers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _pins(trainer: Any) -> bool:
    """Whether batches are read into pinned memory: a copy from there to a GPU waits for nothing."""
    return getattr(getattr(trainer.strategy, "root_device", None), "type", "cpu") == "cuda"


class PretrainingData(LightningDataModule):
    """Reads batches in ``workers`` processes, which stay from epoch to epoch."""

    def __init__(
        self, data: Data, plan: Plan, seed: int, workers: int, transfer: Callable[[Batch, torch.device], Batch]
    ) -> None:
        super().__init__()
        self.data, self.plan, self.seed, self.workers, self.transfer = data, plan, seed, workers, transfer

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return self.transfer(batch, device)

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        assert trainer is not None
        batches = AddressedBatches(
            self.plan,
            trainable(self.data),
            self.seed,
            trainer.global_rank,
            lambda: position(trainer),
            getattr(self.data, "arrange", None),
            getattr(self.data, "batches", None),
        )
        return DataLoader(
            self.data,  # type: ignore[arg-type]
            batch_sampler=batches,
            collate_fn=_as_read,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=_pins(trainer),
            worker_init_fn=ignore_signals,
        )
