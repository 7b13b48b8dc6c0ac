"""Tables, written out as text with what stands around them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from unlabeled.data.files import text_of
from unlabeled.errors import at_least
from unlabeled_text.data.building import Options, build_cached
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.linear import one_line
from unlabeled_text.data.reading import Bad, Columns, Record, files_of, read


def contexts_of(files: list[Path]) -> set[Path]:
    """The .txt files that stand beside a table of their name."""
    tables = {file.with_suffix(".txt") for file in files if file.suffix.lower() != ".txt"}
    return {file for file in tables if file.is_file()}


def with_context(records: Iterator[Record], path: Path, contexts: set[Path]) -> Iterator[Record]:
    """Records of tables with the text around them before, which is none of its own."""
    folder = path if path.is_dir() else path.parent
    texts = {file: one_line(text_of(file)) for file in contexts}
    for record in records:
        file = folder / record.file
        around = texts.get(file.with_suffix(".txt"))
        if around is None:
            yield record
        elif file not in texts:
            yield replace(record, texts=(f"{around} {record.texts[0]}".lstrip(),))


class Tables(Corpus):
    """Tables as text, from .csv, .tsv, .jsonl or .parquet: ``column : value ; ...``, or a header and several rows.

    A .txt of a table's own name beside it (``cities.txt``, ``cities.csv``) is the text around it, and stands before
    each of its samples. A line of .jsonl may be a whole table: ``header`` (or ``columns``), ``rows`` (or ``data``), and
    texts around it under other names.

    Args:
        rows: of a table in a sample; 1 = a row by itself.
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
        rows: int = 1,
        tokenizer: str = "wordpiece",
        vocabulary: int = 8192,
        length: int = 128,
        dedup: bool = True,
        batches: Literal["packed", "bucketed", "random"] = "packed",
        cache: str = "",
    ) -> None:
        at_least(1, rows=rows)
        options = Options(dedup=dedup, columns=Columns(rows=rows), max_bad=max_bad)
        files = files_of(Path(path))
        contexts = contexts_of(files)

        def source(bad: Bad) -> Iterator[Record]:
            return with_context(read(Path(path), "line", options.columns, bad), Path(path), contexts)

        store, spec = build_cached(
            source, path, sorted({*files, *contexts}), tokenizer, vocabulary, length, options, cache
        )
        super().__init__(store, spec, path, batches)
