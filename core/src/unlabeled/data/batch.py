"""A batch as a frozen dataclass, of which every tensor moves with it."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from unlabeled.transfer import moved


class MovableBatch:
    """A base of frozen dataclasses whose fields are tensors, lists of them, other batches, or stay on the host."""

    def to(self, device: torch.device | str) -> Self:
        """The batch on a device, without waiting for it; what is small (ids) stays known on the host."""
        return self._each(lambda x: moved(x, device))

    def pin_memory(self) -> Self:
        """Called by torch's loader."""
        return self._each(lambda x: x.pin_memory())

    def _each(self, move: Callable[[Tensor], Tensor]) -> Self:
        def walked(value: Any) -> Any:
            if isinstance(value, Tensor):
                return move(value)
            if isinstance(value, MovableBatch):
                return value._each(move)
            return [walked(part) for part in value] if isinstance(value, list) else value

        return replace(self, **{f.name: walked(getattr(self, f.name)) for f in fields(self)})  # type: ignore[type-var, arg-type]
