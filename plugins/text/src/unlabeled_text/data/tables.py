"""Rows of tables, each written out as one text of its columns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from unlabeled_text.data.building import Options, build_cached
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.reading import Bad, Columns, Record, files_of, read


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
