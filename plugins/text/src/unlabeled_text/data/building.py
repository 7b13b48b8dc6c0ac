"""From records to a store: tokenize, drop what is too short or has been seen, split or cut what is too long.

# N samples, P pairs
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data import columns as values
from unlabeled.data.files import check_bad, natural
from unlabeled.data.sides import Side, masks
from unlabeled.data.tables import Table
from unlabeled.errors import UsageError
from unlabeled_text.batch import TextSpec
from unlabeled_text.data.reading import ROLES, Columns, Record, Unit
from unlabeled_text.data.store import META, Store, Writer, cache_home, open_store, texts_hash
from unlabeled_text.ops.tokenizing import spec_of, tokenizer_file

CHUNK = 1024  # texts that are tokenized together
SAMPLE = 200_000  # texts that a tokenizer is trained on, and that are held in memory until it is
CACHED = 8 << 20  # bytes of text from which on token ids are kept on disk
VERSION = "3"  # of the store
NONE = "none"
FURTHER: tuple[Side | None, ...] = (None, "train", "val", "test")  # what is on two sides is on the later one
Source = Callable[[Callable[[str, str], None]], Iterator[Record]]


@dataclass(frozen=True)
class Options:
    """What is done with records; see the settings of ``data.Texts``."""

    dedup: bool = True
    least: int = 1
    split: bool = False
    columns: Columns = field(default_factory=Columns)
    unit: Unit = "line"
    words: bool = False
    max_bad: float = 0.0


class _Samples:
    """What is gathered of samples as they are written."""

    def __init__(self, spec: TextSpec, options: Options, name: str) -> None:
        self.spec, self.options, self.name = spec, options, name
        self.writer = Writer(spec.vocabulary)
        self.known: list[Mapping[str, str]] = []
        self.lines: list[int] = []
        self.files: list[int] = []
        self.names: list[str] = []
        self.sides: list[Side | None] = []
        self.documents: list[int] = []
        self.pairs: list[tuple[int, int]] = []
        self.scores: list[float] = []
        self.pair_known: list[Mapping[str, str]] = []
        self.pair_sides: list[Side | None] = []
        self.counts = {"duplicates": 0, "short": 0, "cut": 0}
        self._seen: dict[bytes, int] = {}
        self._document: dict[str, int] = {}
        self._file: dict[str, int] = {}

    def add(self, records: list[Record]) -> None:
        """Tokenize a chunk of records and take their texts."""
        encoded = iter(self.spec.codec.encode([text for record in records for text in record.texts]))
        for record in records:
            pair = len(record.texts) > 1
            found = [self._text(text, next(encoded), record, pair) for text in record.texts]
            if pair and found[0] is not None and found[1] is not None:
                self.pairs.append((found[0], found[1]))
                self.scores.append(float("nan") if record.score is None else record.score)
                self.pair_known.append(record.known)
                self.pair_sides.append(record.side)

    def _text(self, text: str, encoded: tuple[np.ndarray, np.ndarray], record: Record, pair: bool) -> int | None:
        """The number of the sample that the text is, new or seen before; None where it is too short."""
        tokens, starts = encoded
        if len(tokens) < self.options.least:
            self.counts["short"] += 1
            return None
        key = blake2b(" ".join(text.split()).encode("utf-8", errors="replace"), digest_size=16).digest()
        before = self._seen.get(key)
        if before is not None and (pair or self.options.dedup):
            self.counts["duplicates"] += not pair
            self.sides[before] = max(self.sides[before], record.side, key=FURTHER.index)
            return before
        room = self.spec.length - len(self.spec.prefix) - len(self.spec.suffix)
        stop = len(tokens) if self.options.split and not pair else min(len(tokens), room)
        self.counts["cut"] += stop < len(tokens)
        first = len(self.writer)
        self._seen.setdefault(key, first)
        for begin in range(0, stop, room):
            end = min(begin + room, stop)
            if begin and end - begin < self.options.least:
                break
            self.writer.add(tokens[begin:end], starts[begin:end])
            of_pair = {key: cell for key, cell in record.known.items() if key.startswith("group")}
            self.known.append(of_pair if pair else record.known)
            self.lines.append(record.line)
            self.files.append(self._file.setdefault(record.file, len(self._file)))
            self.names.append(record.name)
            self.sides.append(record.side)
            self.documents.append(self._document.setdefault(record.document, len(self._document)))
        return first

    def finish(self, bad: list[tuple[str, str]], folder: Path | None) -> Store:
        """The store of all samples."""
        numbers = {"documents": self.documents, "lines": self.lines, "files": self.files}
        arrays = {name: np.array(found, dtype=np.int64) for name, found in numbers.items()}
        meta: dict[str, Any] = {**self.counts, "bad": bad, "spec": asdict(self.spec), "files": list(self._file)}
        if any(self.names):
            meta["names"] = self.names
        test, val = masks(self.sides)
        if test is not None and not bool(test.all()):
            arrays["test"] = test.numpy()
        if val is not None:
            arrays["val"] = val.numpy()
        self._know(arrays, meta)
        if self.pairs:
            self._pair_up(arrays, meta)
        return self.writer.finish(arrays, meta, folder)

    def _know(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Classes, targets, groups and folds, where there are any: as manifests of every domain have them."""
        table, chosen = _table(self.name, self.known, self.lines)
        labels = values.labels(table, chosen)
        several = values.several(table, chosen, labels)
        labels = several.labels if labels is None else labels
        if several.values is not None:
            arrays["targets"] = np.array(several.values, dtype=np.float32)
            meta["targets"] = {"names": several.names, "kind": several.kind}
        _name(arrays, meta, "labels", "classes", labels)
        if (folds := values.folds(table, chosen)) is not None:
            arrays["folds"] = np.array(folds, dtype=np.int64)
        if groups := values.groups(table, chosen, labels, self.options.columns.asked):
            meta["groups"] = groups

    def _pair_up(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Pairs, with what is known of them; those of val stand apart where there is a test."""
        apart = "test" in self.pair_sides
        kept = [p for p, side in enumerate(self.pair_sides) if not (apart and side == "val")]
        scores = np.array(self.scores, dtype=np.float32)[kept]
        arrays["pairs"] = np.array(self.pairs, dtype=np.int64)[kept]
        arrays["pair_test"] = np.array([self.pair_sides[p] in ("val", "test") for p in kept])
        if not np.isnan(scores).any():
            arrays["scores"] = scores
        labels = values.labels(*_table(self.name, [self.pair_known[p] for p in kept], kept))
        _name(arrays, meta, "pair_labels", "pair_classes", labels)


def _table(name: str, known: Sequence[Mapping[str, str]], lines: list[int]) -> tuple[Table, dict[str, tuple[str, ...]]]:
    """What is known of texts as a table, and the columns of each role."""
    columns = tuple(dict.fromkeys(key for cells in known for key in cells))
    chosen = {role: tuple(c for c in columns if c.partition(".")[0] == role) for role in ROLES}
    table = Table(Path(name), columns, [tuple(map(cells.get, columns)) for cells in known], lines)
    return table, {role: names for role, names in chosen.items() if names}


def _name(
    arrays: dict[str, np.ndarray], meta: dict[str, Any], key: str, names: str, found: Sequence[str | None] | None
) -> None:
    """Class numbers and names in their natural order, where there are several; -1 = none."""
    classes = natural({name for name in found or () if name is not None})
    if found is not None and len(classes) > 1:
        number = {name: n for n, name in enumerate(classes)}
        arrays[key] = np.array([-1 if c is None else number[c] for c in found], dtype=np.int64)
        meta[names] = classes


def build(
    records: Iterator[Record], spec: TextSpec, options: Options, bad: list[tuple[str, str]],
    folder: Path | None = None, name: str = "texts",
) -> Store:  # fmt: skip
    """Tokenize all records into a store; in memory, or in ``folder``. ``name`` is what errors call their source."""
    samples = _Samples(spec, options, name)
    while chunk := list(itertools.islice(records, CHUNK)):
        samples.add(chunk)
    return samples.finish(bad, folder)


def build_cached(
    source: Source,
    name: str,
    files: list[Path],
    tokenizer: str,
    vocabulary: int,
    length: int,
    options: Options,
    cache: str,
) -> tuple[Store, TextSpec]:
    """The store and spec of a source of records; taken from the cache where the same has been built before."""
    if options.least < 1:
        raise ValueError(f"least is {options.least}; it must be at least 1")
    folder = None
    if cache != NONE and sum(f.stat().st_size for f in files) >= CACHED:
        folder = cache_home(cache) / _key(files, tokenizer, vocabulary, length, options)
    if folder is not None and (folder / META).is_file():
        store = open_store(folder)
        _check(name, len(store), store.meta["bad"], options.max_bad)
        return store, _spec(store.meta["spec"])
    bad: list[tuple[str, str]] = []
    records = source(lambda where, why: bad.append((where, why)))
    first = _first(records, SAMPLE)
    if not first:
        _check(name, 0, bad, options.max_bad)
    spec = spec_of(tokenizer, length, vocabulary, texts_of_train(first))
    store = build(itertools.chain(first, records), spec, options, bad, folder, name)
    _check(name, len(store), bad, options.max_bad)
    return store, spec


def trains(side: Side | None) -> bool:
    """Whether what is fitted may see a text."""
    return side in (None, "train")


def texts_of_train(records: list[Record]) -> list[str]:
    """What a vocabulary is made of: texts that are not held out, nor the same as one that is; all where all are."""
    held = {text for record in records if not trains(record.side) for text in record.texts}
    found = [text for record in records if trains(record.side) for text in record.texts if text not in held]
    return found or [text for record in records for text in record.texts]


def _first(records: Iterator[Record], most: int) -> list[Record]:
    """Records up to the one that makes ``most`` of train."""
    found: list[Record] = []
    count = 0
    while count < most and (record := next(records, None)) is not None:
        found.append(record)
        count += trains(record.side)
    return found


def _spec(values: dict[str, Any]) -> TextSpec:
    return TextSpec(**{f.name: values[f.name] for f in fields(TextSpec)})


def _key(files: list[Path], tokenizer: str, vocabulary: int, length: int, options: Options) -> str:
    """What a store was made of: files by place, size and time, and every setting."""
    path = tokenizer_file(tokenizer)
    content = path.read_text(encoding="utf-8") if path is not None and path.is_file() else tokenizer
    stats = [f"{f.resolve()} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files]
    return texts_hash([VERSION, content, f"{vocabulary} {length} {options}", *stats])


def _check(name: str, good: int, bad: list[tuple[str, str]], max_bad: float) -> None:
    """``UsageError`` where there is nothing, or too much that cannot be read."""
    if not good and not bad:
        raise UsageError(f"{name}: no texts")
    check_bad(name, dict(bad), good + len(bad), max_bad, "records")
