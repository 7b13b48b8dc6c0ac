"""Files of text to records: .txt, .jsonl, .csv, .tsv, .parquet, folders of them; what cannot be read is named.

Tables are read by their header: a text column, or two columns of a pair, with a label or a score. ``.tsv`` files have
no quoting, ``.csv`` files have. Sides of a split are told by the first word of a file's name (``train.txt`` beside
``test.txt``), by its folder, or by a column; those of val are kept apart where there is a test as well.
"""

import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from unlabeled.data.files import no_text, text_of
from unlabeled.data.manifest import choose_columns
from unlabeled.data.sides import Side, by_folder, side_of, spelled
from unlabeled.data.tables import MISSING, Table
from unlabeled.errors import UsageError

SUFFIXES = (".txt", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
TEXT = ("text", "sentence", "content", "document", "body", "abstract", "url", "question", "utterance", "title")
PAIRS = (
    ("sentence1", "sentence2"), ("text1", "text2"), ("premise", "hypothesis"), ("question1", "question2"),
    ("anchor", "positive"), ("text_a", "text_b"),
)  # fmt: skip
ROLES = ("label", "labels", "target", "group", "fold")  # what stands in ``Record.known``
IDS = ("id", "guid", "uid")  # columns of what the user calls a text
SHOWN = 40  # characters of a cell that a message shows
SUSPICIOUS = 64 << 10  # bytes at the head of a file that are looked at for NULs
Unit = Literal["line", "paragraph", "document"]


@dataclass(frozen=True)
class Record:
    """One text, or a pair, as it stands in a file.

    Args:
        texts: one text, or the two of a pair.
        known: what else its columns say, as it stands there: ``label``, ``labels``, ``target``, ``group``, ``fold``, or
            ``target.NAME`` where a role has several; of the pair where there are two texts.
        score: similarity of a pair.
        document: name of what it is a part of.
        side: of the split; None where nothing says it.
        file: that it stands in, from the folder of the data.
        line: of the file, from 1; of Parquet, the row.
        name: what the user calls it; empty = nothing does.
    """

    texts: tuple[str, ...]
    known: Mapping[str, str] = field(default_factory=dict)
    score: float | None = None
    document: str = ""
    side: Side | None = None
    file: str = ""
    line: int = 0
    name: str = ""


@dataclass(frozen=True)
class Columns:
    """Which columns of tables are read: by role, as ``unlabeled.data.manifest`` has them; others by usual names."""

    asked: Mapping[str, str] = field(default_factory=dict)
    linearize: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> "Columns":
        """From settings of a data set, of which empty ones ask for nothing."""
        return cls({role: str(name) for role, name in sorted(settings.items()) if name and role != "classes"})


Bad = Callable[[str, str], None]  # where, why


def files_of(path: Path) -> list[Path]:
    """The files of text at ``path``; ``UsageError`` where there can be none."""
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{path} is no text data: give a file or folder of {', '.join(SUFFIXES)}")
        return [path]
    found = []
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [Path(folder) / n for n in names if not n.startswith(".") and Path(n).suffix.lower() in SUFFIXES]
    if not found:
        raise UsageError(f"{path} has no files of text; these are read: {', '.join(SUFFIXES)}")
    return sorted(found)


def sides_of(files: list[Path]) -> dict[Path, Side]:
    """The side of each file that has one: by the first word of its name beside one called train, or by its folder."""
    named = {file: side_of(re.split(r"[^a-z]", file.stem.casefold())[0]) for file in files}
    if "train" not in named.values() or len(set(named.values()) - {None}) < 2:
        named = dict(zip(files, by_folder([file.as_posix() for file in files]).sides, strict=True))
    return {file: side for file, side in named.items() if side}


def read(path: Path, unit: Unit, columns: Columns, bad: Bad) -> Iterator[Record]:
    """Every record at ``path``, file by file; what cannot be read goes to ``bad(where, why)``."""
    files = files_of(path)
    sides = sides_of(files)
    for file in files:
        name = file.name if path == file else file.relative_to(path).as_posix()
        for record in _file(file, unit, columns, bad):
            yield replace(record, side=record.side or sides.get(file), file=name)


def _file(file: Path, unit: Unit, columns: Columns, bad: Bad) -> Iterator[Record]:
    suffix = file.suffix.lower()
    try:
        if file.exists() and not file.is_file():  # which would be waited for
            bad(str(file), "a pipe or a device, and no file")
            return
        if suffix == ".parquet":
            yield from records_of(_parquet(file), columns, file, bad)
            return
        with file.open("rb") as raw:
            head = raw.read(SUSPICIOUS)
            alone = b"\r" in head and b"\n" not in head
            if reason := no_text(head) or "its lines end in carriage returns; save it with line feeds" * alone:
                bad(str(file), reason)
                return
            raw.seek(0)
            lines = _decoded(raw, file, bad)
            if suffix == ".txt":
                yield from _plain(lines, file, unit)
            elif suffix in (".jsonl", ".ndjson"):
                yield from records_of(_json_lines(lines, file, bad), columns, file, bad)
            else:
                yield from records_of(_table(lines, suffix, file, bad), columns, file, bad)
    except OSError as error:
        bad(str(file), (error.strerror or str(error)).lower())


def _decoded(raw: Any, file: Path, bad: Bad) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their ends; a line that is no UTF-8 is named with its first bad byte."""
    for number, line in enumerate(raw, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            bad(f"{file}:{number}", f"no UTF-8 at byte {error.start} of the line (0x{line[error.start]:02x})")
            continue
        yield number, text.rstrip("\r\n")


def _plain(lines: Iterable[tuple[int, str]], file: Path, unit: Unit) -> Iterator[Record]:
    """A text a line; or a paragraph, which ends at an empty line; or the whole file."""
    block: list[str] = []
    count = first = 0
    for number, line in lines:
        if unit == "line":
            if line.strip():
                yield Record((line.strip(),), document=f"{file}#{count}", line=number)
            else:
                count += 1  # an empty line ends a document
        elif line.strip() or unit == "document":
            first = first if block else number
            block.append(line.strip())
        elif block:
            yield Record((" ".join(block),), document=str(file), line=first)
            block = []
    text = ("\n" if unit == "document" else " ").join(block).strip()
    if text:
        yield Record((text,), document=str(file), line=first)


def _json_lines(lines: Iterable[tuple[int, str]], file: Path, bad: Bad) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad(f"{file}:{number}", f"no JSON: {reason_of(error)}")
            continue
        row = {"text": row} if isinstance(row, str) else row
        if isinstance(row, dict):
            yield number, row
        else:
            bad(f"{file}:{number}", f"a {type(row).__name__}; each line must be an object or a string")


def reason_of(error: Exception) -> str:
    """Why ``json.loads`` failed."""
    if isinstance(error, RecursionError):
        return "lists or objects nested too deep"
    return str(error) if isinstance(error, json.JSONDecodeError) else "a number of too many digits"


def _table(
    lines: Iterable[tuple[int, str]], suffix: str, file: Path, bad: Bad
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    at = [0]  # the line that the reader is at

    def rows() -> Iterator[str]:
        for at[0], line in lines:
            if line:
                yield line

    texts = rows()
    if suffix == ".tsv":
        reader = csv.DictReader(texts, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(line + "\n" for line in texts)
    limit = csv.field_size_limit(1 << 30)  # the default refuses a field of 128 KB
    try:
        while True:
            try:
                row = next(reader)
            except csv.Error as error:
                bad(f"{file}:{at[0]}", f"a carriage return inside of it; quote the cell ({error})")
            except StopIteration:
                return
            else:
                if reason := ragged(row):
                    bad(f"{file}:{at[0]}", reason)
                else:
                    yield at[0], row
    finally:
        csv.field_size_limit(limit)


def ragged(row: Mapping[Any, Any]) -> str:
    """What is wrong with a row of ``csv.DictReader`` that has more or fewer fields than the header; else empty."""
    names = [name for name in row if name is not None]
    found = len(names) + len(row.get(None) or ()) - sum(row[name] is None for name in names)
    if found == len(names):
        return ""
    quotes = "; quote what has a delimiter in it" if found > len(names) else ""
    return f"{found} fields, and the header has {len(names)}{quotes}"


def text_in(value: Any) -> str:
    """A cell as text, bytes by UTF-8; :class:`ValueError` where it holds several values or no text."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"bytes that are no UTF-8 at byte {error.start}") from error
    if isinstance(value, dict | list | tuple | set):
        raise ValueError(f"a {type(value).__name__}; it must be text or a number")
    text = "" if value is None else str(value)
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("half of a surrogate pair, which is no text")
    return text


def _cells(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Text of the columns ``names``; :class:`ValueError` says in which column there is none."""
    found = {}
    for name in names:
        try:
            found[name] = text_in(row.get(name))
        except ValueError as error:
            raise ValueError(f"column {name} holds {error}") from error
    return found


def _parquet(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise UsageError("reading .parquet needs pyarrow: pip install 'unlabeled-text[parquet]'") from error
    try:
        batches = parquet.ParquetFile(file).iter_batches(batch_size=4096)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as Parquet: {error}") from error


def records_of(
    rows: Iterable[tuple[int, Mapping[str, Any]]], columns: Columns, file: Path, bad: Bad
) -> Iterator[Record]:
    """Records of rows, each with its number; the columns are chosen by the first row."""
    chosen: Mapping[str, tuple[str, ...]] = {}
    for number, row in rows:
        if columns.linearize:
            chosen = {"column": tuple(row)}
        elif not chosen:
            chosen = _chosen(row, columns, file)
        try:
            record = _record(row, chosen, columns.linearize, f"{file}#{number}")
        except ValueError as error:
            bad(f"{file}:{number}", str(error))
        else:
            yield replace(record, line=number)


def _chosen(row: Mapping[str, Any], columns: Columns, file: Path) -> dict[str, tuple[str, ...]]:
    """The columns of each role, and of ``id`` where one is called so."""
    table = Table(file, tuple(map(str, row)), [tuple(row.values())], [1])
    chosen = choose_columns(table, (*PAIRS, *TEXT), columns.asked)
    taken = {name for names in chosen.values() for name in names}
    named = [table.folded[name] for name in IDS if name in table.folded and table.folded[name] not in taken]
    return chosen | ({"id": (named[0],)} if named else {})


def _record(row: Mapping[str, Any], chosen: Mapping[str, tuple[str, ...]], linearize: bool, where: str) -> Record:
    """The record of a row; :class:`ValueError` says why it has none."""
    names = chosen["column"]
    lists = {n for n in chosen.get("labels", ()) if isinstance(row.get(n), list)}
    cells = _cells(row, (n for each in chosen.values() for n in each if n not in lists))
    cells |= {name: json.dumps(row[name]) for name in lists}
    if linearize:
        return Record((linear(cells),), document=where.partition("#")[0])
    texts = tuple(cells[name].strip() for name in names)
    if not all(texts):
        raise ValueError(f"nothing in column {names[texts.index('')]}")
    known = {_key(role, name, chosen[role]): cells[name].strip() for role in ROLES for name in chosen.get(role, ())}
    score, side, name = (cells[chosen[role][0]].strip() if role in chosen else "" for role in ("score", "split", "id"))
    document = str(row.get("document") or row.get("doc_id") or where)
    return Record(texts, known, _score(score), document, _side(side), name=name)


def _key(role: str, name: str, names: tuple[str, ...]) -> str:
    """``label``; ``labels.red`` where a role has several columns."""
    short = name.partition(".")[2]
    return role if len(names) == 1 and not short else f"{role}.{short or name}"


def _score(text: str) -> float | None:
    try:
        found = None if text in MISSING else float(text)
    except ValueError:
        found = math.nan
    if found is not None and not math.isfinite(found):
        raise ValueError(f"the score {text[:SHOWN]!r} is no number")
    return found


def _side(text: str) -> Side | None:
    side = None if text in MISSING else side_of(text)
    if text not in MISSING and side is None:
        raise ValueError(f"the split {text!r} is none of {spelled()}; --data.split none reads no such column")
    return side


def linear(row: Mapping[str, Any]) -> str:
    """A row of a table as text: ``column : value ; column : value``."""
    cells = [f"{key} : {' '.join(str(value).split())}" for key, value in row.items() if value not in (None, "")]
    return " ; ".join(cells)


def links_of(path: Path) -> list[tuple[str, str]]:
    """Pairs of a citation or neighbor file: two columns, by tab or comma, of line numbers from 0."""
    text = text_of(path, "file of links")
    delimiter = "\t" if "\t" in text else ","
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    wrong = next((n for n, row in enumerate(rows, 1) if len(row) < 2), None)
    if wrong is not None:
        raise UsageError(f"{path}:{wrong} has one column; each line must name two texts, by their number from 0")
    return [(row[0].strip(), row[1].strip()) for row in rows]
