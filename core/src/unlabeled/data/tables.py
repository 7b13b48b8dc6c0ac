"""Rows of a CSV, TSV, JSONL or Parquet file, each with the number of its line; what is ragged is refused by it.

A CSV is quoted as RFC 4180 says and may be split by commas, semicolons or tabs, as its header shows; a TSV is split by
tabs and quotes nothing. A line of JSONL is an object. UTF-8, with or without a byte order mark. No torch.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unlabeled.data.files import text_of
from unlabeled.errors import PluginError, UsageError, near

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MISSING = frozenset(("", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "null", "NULL", "Null", "None", "<NA>", "#N/A"))
LONGEST = 1 << 30  # characters of a field: csv's own limit refuses a text of 128 KB


@dataclass(frozen=True)
class Table:
    """Rows as they stand in a file.

    Args:
        path: of the file.
        columns: names, as the file spells them.
        rows: a value for each column; None where a JSON object has no such key.
        lines: the line of each row in the file, from 1; of Parquet, the number of the row.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def folded(self) -> dict[str, str]:
        """The columns by their names without case and surrounding spaces."""
        return {name.strip().casefold(): name for name in self.columns}

    def find(self, name: str) -> str:
        """The column ``name``, whatever its case; :class:`UsageError` names those that there are."""
        found = name if name in self.columns else self.folded.get(name.strip().casefold())
        if found is None:
            hint = near(name, self.columns)
            known = "" if hint.startswith(" Known") else f" Known: {', '.join(self.columns)}."
            raise UsageError(f"{self.path} has no column {name!r}.{hint}{known}")
        return found

    def column(self, name: str) -> list[Any]:
        """Values of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def texts(self, name: str) -> list[str | None]:
        """A column as text; None where it is missing (empty, nan, NA, null, ...)."""
        found = [self.text(n, name, value) for n, value in enumerate(self.column(name))]
        return [None if text in MISSING else text for text in found]

    def text(self, row: int, name: str, value: Any) -> str:
        """One value as text without spaces around it; :class:`UsageError` where it holds several or none."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, bytes):
            try:
                return value.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise self.wrong(row, f"{name} holds bytes that are no UTF-8 at byte {error.start}") from error
        if isinstance(value, dict | list | tuple | set):
            raise self.wrong(row, f"{name} holds a {type(value).__name__}; it must be text or a number")
        return str(value).strip()

    def numbers(self, name: str) -> list[float]:
        """A column as numbers; NaN where it is missing; :class:`UsageError` names the row that has none."""
        return [self.number(n, name, text) for n, text in enumerate(self.texts(name))]

    def number(self, row: int, name: str, text: str | None) -> float:
        """One value as a number."""
        if text is None:
            return math.nan
        try:
            found = {"true": 1.0, "false": 0.0}.get(text.casefold())
            found = float(text) if found is None else found
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise self.wrong(row, f"{name} is {text!r}; it must be a number")
        return found

    def where(self, row: int) -> str:
        """``photos.csv, line 12``"""
        return f"{self.path}, {'row' if self.path.suffix.lower() == '.parquet' else 'line'} {self.lines[row]}"

    def wrong(self, row: int, what: str) -> UsageError:
        """An error of a row, to be raised."""
        return UsageError(f"{self.where(row)}: {what}")


def is_table(path: Path) -> bool:
    """Whether there is a file of a suffix that is read here."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read_table(path: Path) -> Table:
    """All rows of a file; :class:`UsageError` names the line that is wrong."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} is no table: give one of {', '.join(SUFFIXES)}")
    read = {".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}.get(suffix, _separated)
    table = read(path)
    _check_names(path, table.columns)
    if not table.rows:
        raise UsageError(f"{path} has no rows")
    return table


def _check_names(path: Path, columns: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for number, name in enumerate(columns, 1):
        folded = name.strip().casefold()
        if folded and folded in seen:
            raise UsageError(f"{path} has two columns called {name.strip()!r}: rename one")
        seen[folded] = name
        if not folded and number > 1:  # pandas writes its row numbers under no name
            raise UsageError(f"{path}: column {number} of its header has no name")


# ------------------------------------------------------------------------------------------------- formats


def _separated(path: Path) -> Table:
    text = text_of(path, "table")
    found = list(_records(path, text))
    if not found:
        raise UsageError(f"{path} is empty; its first line must name its columns")
    (_, header), *rows = found
    for line, row in rows:
        if len(row) != len(header):
            quotes = "; quote what has a delimiter in it" if len(row) > len(header) else ""
            raise UsageError(f"{path}, line {line} has {len(row)} fields, and the header has {len(header)}{quotes}")
    return Table(path, tuple(header), [tuple(row) for _, row in rows], [line for line, _ in rows])


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not empty, after the number of the line that it begins in."""
    if path.suffix.lower() == ".tsv":
        reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    limit, before = csv.field_size_limit(LONGEST), 0
    try:
        for row in reader:
            if row:
                yield before + 1, row
            before = reader.line_num
    except csv.Error as error:
        raise UsageError(f"{path}, line {before + 1} is no valid CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _delimiter(text: str) -> str:
    """The comma, semicolon or tab that the header has most of."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=head.count)


def _json_lines(path: Path) -> Table:
    found, columns = [], dict[str, None]()
    for line, text in enumerate(text_of(path, "table").split("\n"), 1):
        if text.strip():
            row = _object(path, line, text)
            columns |= dict.fromkeys(row)
            found.append((line, row))
    rows = [tuple(row.get(name) for name in columns) for _, row in found]
    return Table(path, tuple(columns), rows, [line for line, _ in found])


def _object(path: Path, line: int, text: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"{path}, line {line} has {twice!r} twice")
        return made

    try:
        row = json.loads(text, object_pairs_hook=once)
    except UsageError:
        raise
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}, line {line} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise UsageError(f"{path}, line {line} is a {type(row).__name__}; it must be an object of columns")
    return row


def _parquet(path: Path) -> Table:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise PluginError("reading .parquet needs pyarrow: pip install 'unlabeled[parquet]'") from error
    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as Parquet: {error}") from error
    columns = [column.to_pylist() for column in table.columns]
    return Table(path, tuple(table.column_names), list(zip(*columns, strict=True)), list(range(1, len(table) + 1)))
