"""A store of token ids as a data set: what all data sets of text share.

A sample is one text. Texts are tokenized once, into memory-mapped arrays; a batch is a few slices of them.

    # N samples, B of a batch, T packed tokens, P pairs, E links
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from unlabeled.build import trainable
from unlabeled.contract import Data, Targets
from unlabeled.data.about import about as known_of
from unlabeled.data.known import Described
from unlabeled.errors import UsageError
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.data import partners
from unlabeled_text.data.batching import arrange
from unlabeled_text.data.reading import links_of
from unlabeled_text.data.store import Store

DIGITS = 19  # of a number of 63 bits
Batching = Literal["packed", "bucketed", "random"]


class Corpus(Described):
    """What every data set here is: a store of token ids, and what is known of the texts.

    ``pairs[P, 2]`` are ids of samples, with ``scores[P]`` in similarity or ``pair_labels[P]``; ``documents[N]`` says
    what a text is a part of; ``links[E, 2]`` lead from a text to its neighbors. Each is None where the data has none.
    """

    def __init__(self, store: Store, spec: TextSpec, name: str, batching: Batching) -> None:
        self.store, self.spec, self.name, self.batching = store, spec, name, batching
        arrays, meta = store.arrays, store.meta
        self.classes: tuple[str, ...] = tuple(meta.get("classes", ()))
        self.pair_classes: tuple[str, ...] = tuple(meta.get("pair_classes", ()))

        def tensor(key: str) -> Tensor | None:
            return torch.from_numpy(arrays[key]) if key in arrays else None

        self.labels, self.test, self.val, self.folds = tensor("labels"), tensor("test"), tensor("val"), tensor("folds")
        self.groups = tuple(meta["groups"]) if "groups" in meta else None
        numbers, about = tensor("targets"), meta.get("targets", {})
        self.targets = None if numbers is None else Targets(numbers, tuple(about["names"]), about["kind"])
        self.documents, self.pairs, self.scores = tensor("documents"), tensor("pairs"), tensor("scores")
        self.pair_labels, self.pair_test = tensor("pair_labels"), tensor("pair_test")
        self.links: Tensor | None = tensor("links")
        self._partners: dict[str, Tensor] = {}
        self._prefix = np.array(spec.prefix, dtype=store.tokens.dtype)
        self._suffix = np.array(spec.suffix, dtype=store.tokens.dtype)

    def __len__(self) -> int:
        return len(self.store)

    def __getitems__(self, indices: Sequence[int]) -> TextBatch:
        ids = torch.as_tensor(indices, dtype=torch.int64)
        texts: dict[str, Any] = {name: self._batch(table[ids].flatten()) for name, table in self._partners.items()}
        return replace(self._batch(ids), **texts) if texts else self._batch(ids)

    def _batch(self, ids: Tensor) -> TextBatch:
        tokens, starts, lengths = self.store.take(ids.numpy(), self.spec.length, self._prefix, self._suffix)
        return TextBatch(ids, torch.from_numpy(tokens.astype(np.int64)), lengths, torch.from_numpy(starts))

    @cached_property
    def names(self) -> list[str]:
        """What the user calls each text: what a column ``id`` says, else its file and line, else its number from 0."""
        arrays, meta = self.store.arrays, self.store.meta
        if "lines" not in arrays or not any(arrays["lines"]):
            return [str(number) for number in range(len(self))]
        places = zip(arrays["files"].tolist(), arrays["lines"].tolist(), strict=True)
        found = [f"{meta['files'][file]}:{line}" for file, line in places]
        return [name or place for name, place in zip(meta.get("names", [""] * len(found)), found, strict=True)]

    @property
    def bad(self) -> dict[str, str]:
        """Why each line that could not be read could not, by its file and number."""
        root = Path(self.name)
        folder = root if root.is_dir() else root.parent
        return {where.removeprefix(f"{folder}/"): why for where, why in self.store.meta.get("bad", ())}

    @property
    def lengths(self) -> Tensor:
        """``int64[N]``: tokens of each sample, specials included."""
        frame = len(self.spec.prefix) + len(self.spec.suffix)
        return torch.from_numpy(np.diff(self.store.offsets)).clamp(max=self.spec.length - frame) + frame

    def arrange(self, ids: Tensor, size: int) -> Tensor:
        """Called by core with an epoch's order: the same ids, of which each run of ``size`` is a batch."""
        if self.batching == "random":
            return ids
        return arrange(ids, self.lengths[ids], size, alike=self.batching == "bucketed")

    def bring(self, asks: Sequence[str]) -> None:
        """Called by core with what views ask for: batches then carry near, far and hard texts of each."""
        for name in asks:
            found = partners.among(trainable(cast(Data, self)), name, len(self), self.documents, self.links)
            self._partners[name.partition("@")[0]] = found

    def texts(self, ids: Sequence[int] | Tensor) -> list[str]:
        """The samples as text, as their tokens say it."""
        offsets = self.store.offsets
        return [self.spec.text(self.store.tokens[offsets[i] : offsets[i + 1]].tolist()) for i in map(int, ids)]

    def describe(self) -> str:
        """One line: how many texts and tokens, and what is known of them."""
        meta = self.store.meta
        about = [f"{len(self):,} texts", f"{len(self.store.tokens):,} tokens", f"vocabulary {self.spec.vocabulary:,}"]
        about += known_of(self)
        about += [f"{len(self.pairs):,} pairs"] if self.pairs is not None else []
        about += [f"{meta[key]:,} {what}" for key, what in (("duplicates", "duplicates left out"),
                  ("short", "too short"), ("cut", "cut to length")) if meta.get(key)]  # fmt: skip
        bad = len(meta.get("bad", ()))
        about += [f"{bad:,} unreadable skipped"] if bad else []
        return f"{self.name}: {', '.join(about)}"


def _with_links(store: Store, path: Path) -> Store:
    """The store with the links of a file; ``UsageError`` for a number that is no text's."""
    found = []
    for number, (first, second) in enumerate(links_of(path), 1):
        if not all(n.isdecimal() and len(n) < DIGITS and int(n) < len(store) for n in (first, second)):
            raise UsageError(
                f"{path}:{number} links {first[:DIGITS]!r} to {second[:DIGITS]!r}; texts have "
                f"numbers from 0 to {len(store) - 1}"
            )
        found.append((int(first), int(second)))
    if not found:
        raise UsageError(f"{path} has no links")
    arrays = {**store.arrays, "links": np.array(found, dtype=np.int64)}
    return Store(store.tokens, store.starts, store.offsets, arrays, store.meta)
