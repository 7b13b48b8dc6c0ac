"""Hugging Face data sets."""

from __future__ import annotations

from typing import Literal

from unlabeled_text.data.building import Options, build_cached
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.reading import Columns


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
        from unlabeled_text.data.hugging import rows

        options = Options(dedup=dedup, columns=Columns(column, label), max_bad=max_bad)
        store, spec = build_cached(
            lambda bad: rows(path, most, streaming, options.columns, bad), path, [], tokenizer, vocabulary, length,
            options, "none",
        )  # fmt: skip
        super().__init__(store, spec, path, batches)
