"""Features kept in the run folder, found again by a digest of weights, content of the data, and settings.

The content is read either way, and digested batch by batch as the first encoder sees it: a file that was exchanged
under its name is other content. What is encoded once is not encoded again; a damaged file is made anew.

# B samples of a batch, N samples, D features
"""

import hashlib
import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Batch, Data, Embedded, View, Views
from unlabeled.draw import Draw

MOST = 16  # files that are kept, the newest
DAMAGED = (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, pickle.UnpicklingError)


def feed(digest: Any, value: Any, seen: set[int] | None = None) -> None:
    """Add the content of ``value`` to a digest: tensors by type, shape and bytes, containers and objects by parts."""
    seen = set() if seen is None else seen
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{plain.dtype}{[*plain.shape]}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    elif isinstance(value, str | bytes | int | float | bool | None):
        digest.update(repr(value).encode())
    elif id(value) not in seen:
        seen.add(id(value))
        digest.update(type(value).__name__.encode())
        for part in parts_of(value):
            feed(digest, part, seen)


def parts_of(value: Any) -> Iterable[Any]:
    """What an object is made of, in an order that does not change."""
    if is_dataclass(value):
        return [getattr(value, row.name) for row in fields(value)]
    if isinstance(value, Mapping):
        return [part for item in value.items() for part in item]
    if isinstance(value, list | tuple):
        return value
    if hasattr(value, "tobytes"):
        return [value.tobytes()]
    return [part for item in sorted(getattr(value, "__dict__", {}).items()) for part in item]


class Stamping:
    """Clean views that digest each batch that they are given."""

    def __init__(self, views: Views) -> None:
        self.views, self.roles, self.params, self.digest = views, views.roles, views.params, hashlib.sha256()

    def __call__(self, batch: Batch, draw: Draw) -> list[View]:
        feed(self.digest, batch)
        return self.views(batch, draw)


class FeatureCache:
    """Features in ``folder``, of one data set read with ``settings``; without a folder none are kept."""

    def __init__(self, folder: Path | None, data: Data, settings: Any) -> None:
        self.folder, self.data, self.settings = folder, data, settings
        self.content: str | None = None

    def get(
        self, encoder: Any, views: Views, make: Callable[[Views], Embedded], read: Callable[[], Iterable[Batch]]
    ) -> Embedded:
        """Features of ``encoder``: those kept, or ``make(views)``; ``read`` gives the batches without encoding them."""
        if self.folder is None or not isinstance(encoder, nn.Module):
            return make(views)
        if self.content is None and any(self.folder.glob("*.pt")):
            stamping = Stamping(views)
            for batch in read():
                feed(stamping.digest, batch)
            self.content = stamping.digest.hexdigest()
        kept = None if self.content is None else self._load(self._path(encoder))
        if kept is not None:
            return kept
        stamping = Stamping(views)
        found = make(stamping)
        self.content = self.content or stamping.digest.hexdigest()
        self._save(self._path(encoder), found)
        return found

    def _path(self, encoder: nn.Module) -> Path:
        assert self.folder is not None
        digest = hashlib.sha256()
        feed(digest, [self.content, self.settings, type(encoder).__qualname__, dict(encoder.state_dict())])
        return self.folder / f"{digest.hexdigest()[:32]}.pt"

    def _load(self, path: Path) -> Embedded | None:
        if not path.is_file():
            return None
        try:
            found = torch.load(path, weights_only=True)
            x, ids = found["x"], found["ids"]
            whole = x.ndim == 2 and len(x) == len(ids) and len(x) <= len(self.data) and bool(x.isfinite().all())
        except DAMAGED:
            return None
        labels = self.data.labels
        return Embedded(x, None if labels is None else labels[ids].long(), ids) if whole else None

    def _save(self, path: Path, found: Embedded) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"x": found.x, "ids": found.ids}, path.with_suffix(".part"))
            os.replace(path.with_suffix(".part"), path)
            for old in sorted(path.parent.glob("*.pt"), key=lambda file: file.stat().st_mtime)[:-MOST]:
                old.unlink()
        except OSError:  # a run folder that cannot be written is probed all the same
            self.folder = None
