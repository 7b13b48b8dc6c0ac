"""Hugging Face data sets as texts: saved folders, folders of data files, or names on the hub, streamed or not."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

from unlabeled.data.manifest import Pairs
from unlabeled.data.sides import side_of
from unlabeled.errors import UsageError
from unlabeled_text.data.building import Options, build_cached
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.reading import Bad, Columns, Record, records_of

SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk writes


class HuggingFace(Corpus):
    """A Hugging Face data set: a folder of ``save_to_disk`` or of data files, or a name on the hub (``name:split``).

    Args:
        tokenizer: wordpiece, bpe or unigram, trained on the data; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        most: most rows that are read; 0 = all.
        streaming: read data files, or a data set of the hub, row by row, without downloading or converting them whole.
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
        dedup: bool = True,
        batches: Literal["packed", "bucketed", "random"] = "packed",
        **columns: Unpack[Pairs],
    ) -> None:
        options = Options(dedup=dedup, columns=Columns.of(columns), max_bad=max_bad)
        store, spec = build_cached(
            lambda bad: rows(path, most, streaming, options.columns, bad), path, [], tokenizer, vocabulary, length,
            options, "none",
        )  # fmt: skip
        super().__init__(store, spec, path, batches)


def rows(path: str, most: int, streaming: bool, columns: Columns, bad: Bad) -> Iterator[Record]:
    """Records of every split of a saved data set, or of one split on the hub, each with its side."""
    for split, found in _splits(path, streaming).items():
        limited = itertools.islice(found, most) if most else found
        numbered = enumerate(_named(limited, found), 1)
        for record in records_of(numbered, columns, Path(f"{path}/{split}"), bad):
            yield replace(record, side=record.side or side_of(split), file=split)


def _named(some: Any, found: Any) -> Iterator[dict[str, Any]]:
    """Rows with class names in place of class numbers, where the data set knows them."""
    features = getattr(found, "features", None) or {}
    names = {key: feature for key, feature in features.items() if hasattr(feature, "int2str")}
    for row in some:
        yield {**row, **{k: f.int2str(row[k]) for k, f in names.items() if isinstance(row.get(k), int) and row[k] >= 0}}


def _splits(path: str, streaming: bool) -> dict[str, Any]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise UsageError("Hugging Face data sets need a package: pip install 'unlabeled-text[datasets]'") from error
    folder = Path(path)
    try:
        if folder.is_dir() and any((folder / name).is_file() for name in SAVED):
            found = datasets.load_from_disk(path)
        elif folder.is_dir():
            found = datasets.load_dataset(path, streaming=streaming)
        else:
            name, _, split = path.partition(":")
            found = {split or "train": datasets.load_dataset(name, split=split or "train", streaming=streaming)}
    except Exception as error:  # of many libraries: files, Arrow, the hub
        raise UsageError(f"Hugging Face cannot load {path!r}: {(str(error) or repr(error)).splitlines()[0]}") from error
    return dict(found) if isinstance(found, dict) else {"train": found}
