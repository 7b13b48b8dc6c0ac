"""A data set as what is fitted sees it: the samples of train, no label, and nothing of held-out samples.

Tokenizers, masks and baselines learn from data before or beside training. Each gets its data through here, so that
none can see a held-out sample, whatever it asks for; its ids stay those of the data set.

    # N samples
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Batch, Data
from unlabeled.errors import PluginError

OF_ALL = frozenset(("spec", "classes", "test", "val", "transductive", "together", "describe", "report", "bad"))


class TrainSide:
    """``data`` with the samples ``ids`` alone: asking for another is an error, until it is :attr:`opened`.

    Methods that take ids are called through; of an attribute with a value for each sample, those of others are blank.
    """

    labels: Tensor | None = None
    targets = None

    def __init__(self, data: Data, ids: Tensor) -> None:
        self.data, self.opened = data, False
        self.seen = torch.zeros(len(data), dtype=torch.bool).index_fill_(0, ids, True)

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        self._check(indices)
        return self.data.__getitems__(indices)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("data", "opened", "seen"):  # while a copy is being made
            raise AttributeError(name)
        value = getattr(self.data, name)
        if self.opened or name in OF_ALL:
            return value
        if callable(value):
            return lambda ids, *more: value(self._check(ids), *more)
        if isinstance(value, Tensor) and len(value) == len(self):
            return torch.where(self.seen.view(-1, *[1] * (value.ndim - 1)), value, torch.zeros_like(value))
        if isinstance(value, list | tuple) and len(value) == len(self):
            return type(value)(one if seen else "" for one, seen in zip(value, self.seen.tolist(), strict=True))
        raise PluginError(f"what is fitted sees train alone, and asks for {name} of all samples")

    def _check(self, ids: Any) -> Any:
        asked = torch.as_tensor(ids, dtype=torch.int64)
        if not self.opened and not bool(self.seen[asked].all()):
            raise PluginError("what is fitted sees train alone, and asks for samples that are held out")
        return ids


@contextmanager
def fitting(data: Data, ids: Tensor) -> Iterator[Any]:
    """``data`` as something that is fitted on ``ids[N]`` sees it inside; afterwards it may read all, to be applied."""
    side = TrainSide(data, ids)
    try:
        yield side
    finally:
        side.opened = True
