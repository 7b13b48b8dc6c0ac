"""Tables as text: a row by itself, or a header and several rows, with the text around them before.

Several rows stand as in TAPEX, https://arxiv.org/abs/2107.07653:
``col : city | people row 1 : Bern | 134000 row 2 : ...``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

HEADER, ROWS = ("header", "columns"), ("rows", "data")


def one_line(text: str) -> str:
    """Without line ends and runs of spaces."""
    return " ".join(text.split())


def table_text(rows: Sequence[Mapping[str, str]], most: int) -> str:
    """Rows of one header as text; of tables of one row ``column : value ; column : value``, without empty cells."""
    if most == 1:
        return " ; ".join(f"{name} : {one_line(cell)}" for name, cell in rows[0].items() if cell)
    lines = [f"col : {' | '.join(map(one_line, rows[0]))}"]
    lines += [f"row {n} : {' | '.join(map(one_line, row.values()))}" for n, row in enumerate(rows, 1)]
    return " ".join(lines)


def is_table(row: Mapping[str, Any]) -> bool:
    """Whether an object is a whole table: a list of column names, and a list of rows."""
    return all(any(isinstance(row.get(name), list) for name in names) for names in (HEADER, ROWS))


def parts_of(table: Mapping[str, Any]) -> tuple[list[Any], list[str], list[list[Any]]]:
    """What stands around a table (title, caption, text), its header and its rows; ``ValueError`` for no lists."""
    header, rows = (next(name for name in names if isinstance(table.get(name), list)) for names in (HEADER, ROWS))
    if not all(isinstance(row, list) for row in table[rows]):
        raise ValueError(f"{rows} holds a row that is no list")
    around = [value for name, value in table.items() if name not in (header, rows) and value not in (None, "")]
    return around, [*map(str, table[header])], table[rows]
