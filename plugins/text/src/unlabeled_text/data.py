"""Data sets of text: the generated default, files of a user, tables, and Hugging Face data sets.

A sample is one text. Texts are tokenized once, into memory-mapped arrays; a batch is a few slices of them.

    # N samples, B of a batch, T packed tokens, P pairs, E links
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled_text import generated, partners
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.batches import arrange
from unlabeled_text.building import Options, build, build_cached
from unlabeled_text.reading import Bad, Columns, Record, files_of, links_of, read
from unlabeled_text.store import Store
from unlabeled_text.tokenizing import spec_of

__all__ = ["Corpus", "HuggingFace", "Sentences", "Tables", "TextBatch", "TextSpec", "Texts"]
Batching = Literal["packed", "bucketed", "random"]


class Corpus:
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

        self.labels, self.test = tensor("labels"), tensor("test")
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
            self._partners[name.partition("@")[0]] = partners.table(name, len(self), self.documents, self.links)

    def texts(self, ids: Sequence[int] | Tensor) -> list[str]:
        """The samples as text, as their tokens say it."""
        offsets = self.store.offsets
        return [self.spec.text(self.store.tokens[offsets[i] : offsets[i + 1]].tolist()) for i in map(int, ids)]

    def describe(self) -> str:
        """One line: how many texts and tokens, and what is known of them."""
        meta = self.store.meta
        about = [f"{len(self):,} texts", f"{len(self.store.tokens):,} tokens", f"vocabulary {self.spec.vocabulary:,}"]
        about += [f"{len(self.classes)} classes"] if self.classes else []
        about += [f"{len(self.pairs):,} pairs"] if self.pairs is not None else []
        about += [f"{int(self.test.sum()):,} held out"] if self.test is not None else []
        about += [f"{meta[key]:,} {what}" for key, what in (("duplicates", "duplicates left out"),
                  ("short", "too short"), ("cut", "cut to length")) if meta.get(key)]  # fmt: skip
        bad = len(meta.get("bad", ()))
        about += [f"{bad:,} unreadable skipped"] if bad else []
        return f"{self.name}: {', '.join(about)}"


class Sentences(Corpus):
    """Generated sentences of six topics, with documents and graded pairs; nothing is downloaded.

    Args:
        documents: of four sentences each.
        tokenizer: wordpiece, bpe or unigram, trained on the sentences; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        batches: packed = batches of like totals of tokens; bucketed = samples of like lengths; random = neither.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        documents: int = 300,
        tokenizer: str = "wordpiece",
        vocabulary: int = 512,
        length: int = 64,
        batches: Literal["packed", "bucketed", "random"] = "packed",
    ) -> None:
        if path is not None:
            raise ValueError(f"the sentences are generated; to read {path}, say --data texts:{path}")
        if documents < len(generated.TOPICS):
            raise ValueError(f"documents is {documents}; it must be at least {len(generated.TOPICS)}")
        texts, topic, document, pairs, scores = generated.corpus(documents)
        names = list(generated.TOPICS)
        records = [
            Record((text,), names[t] if t >= 0 else None, document=str(d))
            for text, t, d in zip(texts, topic.tolist(), document.tolist(), strict=True)
        ]
        spec = spec_of(tokenizer, length, vocabulary, texts)
        store = build(iter(records), spec, Options(dedup=False), [])
        arrays = {**store.arrays, "pairs": pairs, "scores": scores}
        super().__init__(
            Store(store.tokens, store.starts, store.offsets, arrays, store.meta), spec, "sentences", batches
        )


class Texts(Corpus):
    """Text files of a user: .txt, .jsonl, .csv, .tsv, .parquet, or a folder of them.

    Args:
        tokenizer: wordpiece, bpe or unigram, trained on the data; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        sample: of .txt files: a line, a paragraph (ends at an empty line), or the whole document.
        overflow: longer texts are cut to length, or split into several samples.
        least: fewest tokens of a sample, without specials; shorter ones are left out.
        dedup: leave out texts that have been seen before, but for spaces.
        column: the column of the text in tables, or two with a plus between for pairs; empty = by its usual name.
        label: the column of the label; empty = by its usual name.
        links: a file of two columns: numbers of texts, from 0, and of their neighbors (citations).
        batches: packed = batches of like totals of tokens; bucketed = samples of like lengths; random = neither.
        cache: folder for the token ids of large data; empty = $UNLABELED_CACHE or ~/.cache/unlabeled; none = memory.
    """

    def __init__(
        self,
        path: str,
        max_bad: float,
        *,
        tokenizer: str = "wordpiece",
        vocabulary: int = 8192,
        length: int = 128,
        sample: Literal["line", "paragraph", "document"] = "line",
        overflow: Literal["cut", "split"] = "cut",
        least: int = 1,
        dedup: bool = True,
        column: str = "",
        label: str = "",
        links: str = "",
        batches: Literal["packed", "bucketed", "random"] = "packed",
        cache: str = "",
    ) -> None:
        files = files_of(Path(path))
        options = Options(
            dedup=dedup and not links,
            least=least,
            split=overflow == "split",
            columns=Columns(column, label),
            unit=sample,
            max_bad=max_bad,
        )
        store, spec = build_cached(
            lambda bad: read(Path(path), sample, options.columns, bad), path, files, tokenizer, vocabulary, length,
            options, cache,
        )  # fmt: skip
        if links:
            store = _with_links(store, Path(links))
        super().__init__(store, spec, path, batches)


class Tables(Corpus):
    """Tables as text, a row a sample: ``column : value ; column : value``, from .csv, .tsv, .jsonl or .parquet.

    Args:
        tokenizer: wordpiece, bpe or unigram, trained on the data; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        dedup: leave out rows that have been seen before.
        batches: packed = batches of like totals of tokens; bucketed = samples of like lengths; random = neither.
        cache: folder for the token ids of large data; empty = $UNLABELED_CACHE or ~/.cache/unlabeled; none = memory.
    """

    def __init__(
        self,
        path: str,
        max_bad: float,
        *,
        tokenizer: str = "wordpiece",
        vocabulary: int = 8192,
        length: int = 128,
        dedup: bool = True,
        batches: Literal["packed", "bucketed", "random"] = "packed",
        cache: str = "",
    ) -> None:
        options = Options(dedup=dedup, columns=Columns(linearize=True), max_bad=max_bad)
        files = files_of(Path(path))

        def source(bad: Bad) -> Iterator[Record]:
            return read(Path(path), "line", options.columns, bad)

        store, spec = build_cached(source, path, files, tokenizer, vocabulary, length, options, cache)
        super().__init__(store, spec, path, batches)


class HuggingFace(Corpus):
    """A Hugging Face data set: a folder of ``save_to_disk`` or of data files, or a name on the hub (``name:split``).

    Args:
        tokenizer: wordpiece, bpe or unigram, trained on the data; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        most: most rows that are read; 0 = all.
        streaming: read data files, or a data set of the hub, row by row, without downloading or converting them whole.
        column: the column of the text, or two with a plus between for pairs; empty = by its usual name.
        label: the column of the label; empty = by its usual name.
        dedup: leave out texts that have been seen before, but for spaces.
        batches: packed = batches of like totals of tokens; bucketed = samples of like lengths; random = neither.
    """

    def __init__(
        self,
        path: str,
        max_bad: float,
        *,
        tokenizer: str = "wordpiece",
        vocabulary: int = 8192,
        length: int = 128,
        most: int = 0,
        streaming: bool = True,
        column: str = "",
        label: str = "",
        dedup: bool = True,
        batches: Literal["packed", "bucketed", "random"] = "packed",
    ) -> None:
        from unlabeled_text.hugging import rows

        options = Options(dedup=dedup, columns=Columns(column, label), max_bad=max_bad)
        store, spec = build_cached(
            lambda bad: rows(path, most, streaming, options.columns, bad), path, [], tokenizer, vocabulary, length,
            options, "none",
        )  # fmt: skip
        super().__init__(store, spec, path, batches)


def _with_links(store: Store, path: Path) -> Store:
    """The store with the links of a file; ``UsageError`` for a number that is no text's."""
    found = []
    for number, (first, second) in enumerate(links_of(path), 1):
        if not (first.isdigit() and second.isdigit() and max(int(first), int(second)) < len(store)):
            raise UsageError(
                f"{path}:{number} links {first!r} to {second!r}; texts have numbers from 0 to {len(store) - 1}"
            )
        found.append((int(first), int(second)))
    if not found:
        raise UsageError(f"{path} has no links")
    arrays = {**store.arrays, "links": np.array(found, dtype=np.int64)}
    return Store(store.tokens, store.starts, store.offsets, arrays, store.meta)
