"""A graph as a table of its edges, beside a table of its nodes where these are described.

``edges.csv`` (or .tsv, .jsonl, .parquet) has columns ``source`` and ``target``, ``src`` and ``dst``, or ``from`` and
``to``, wherever they stand, else the first two; further ones are features. ``nodes.csv`` has ``id``, the columns of a
manifest (``label`` or ``y``, ``target``, ``split``, ``fold``, ``group``), and features. Names of nodes may be any text.

    # T nodes, E edges, F features
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.data.manifest import refuse_columns
from unlabeled.data.tables import SUFFIXES, Table, read_table
from unlabeled.errors import UsageError
from unlabeled_graph.data.arrays import degree_columns
from unlabeled_graph.data.raw import Raw
from unlabeled_graph.data.tables import NUMBERS, Y, is_number, numbers, read_rows, told, unread

ENDS = (("source", "target"), ("src", "dst"), ("from", "to"), ("head", "tail"), ("u", "v"), ("sender", "receiver"))
IDS = ("id", "node", "node_id", "nodeid", "name", "node_name")
NO_END = (*NUMBERS, "weight", "id", "edge_id", "label", "split")
NO_ID = ("label", Y, "class", "target", "labels", "split", "fold", "group", "scaffold")


def table_named(folder: Path, stem: str) -> Path | None:
    """``edges.csv`` or the like in a folder."""
    return next((folder / f"{stem}{suffix}" for suffix in SUFFIXES if (folder / f"{stem}{suffix}").is_file()), None)


def ends_of(table: Table) -> tuple[str, str] | None:
    """The columns of an edge's ends by their names; None where none of them is known."""
    folded = list(table.folded)
    plain = [name.replace("_", "").replace(" ", "").removesuffix("nodeid").removesuffix("id") for name in folded]
    plain = [short.removesuffix("node") or name for short, name in zip(plain, folded)]
    for pair in ENDS:
        there = [plain.count(name) for name in pair]
        if there == [1, 1]:
            return table.columns[plain.index(pair[0])], table.columns[plain.index(pair[1])]
        if sum(there):
            known = ", ".join(table.columns)
            raise UsageError(f"{table.path} has columns {known}; an edge needs one {pair[0]!r} and one {pair[1]!r}")
    return None


def _first_two(table: Table) -> tuple[str, str]:
    """The first two columns, where these can be ends at all."""
    names = list(table.folded)
    if len(names) < 2:
        raise UsageError(f"{table.path} has {len(names)} column; the first two must be the ends of an edge")
    if any(name in NO_END or is_number(name) for name in names[:2]):
        raise UsageError(
            f"{table.path} has a header of {', '.join(map(repr, names))}; call the ends of an edge source and target"
        )
    return table.columns[0], table.columns[1]


def read_edges(path: Path, degrees: int, columns: Mapping[str, Any]) -> Raw:
    """Edges, with the nodes beside them where these are described; ``degrees`` is F where they are not."""
    table = read_table(path)
    ends = ends_of(table) or _first_two(table)
    pairs = list(zip(*(_names(table, end) for end in ends)))
    beside = table_named(path.parent, "nodes")
    described: Tensor | None = None
    more: dict[str, Any] = {}
    if beside is None:
        refuse_columns(path, columns)
        names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    else:
        names, described, more = _nodes(beside, columns)
    number = {name: place for place, name in enumerate(names)}
    strange = [(row, end) for row, pair in enumerate(pairs) for end in pair if end not in number]
    if beside is not None and strange:
        raise table.wrong(strange[0][0], f"names node {strange[0][1]!r}, which {beside.name} does not list")
    edges = torch.tensor([[number[source], number[target]] for source, target in pairs]).T.contiguous()
    left = [name for name in table.columns if name.strip().casefold() in (*NUMBERS, "edge_id") and name not in ends]
    features = [name for name in table.columns if name not in (*ends, *left)]
    x = degree_columns(torch.cat((edges, edges.flip(0)), 1), len(number), degrees) if described is None else described
    return Raw(
        str(path.parent),
        "node",
        x,
        edges,
        (len(number),),
        edge_attr=numbers(table, features) if features else None,
        names=names,
        notes=(*more.pop("notes", ()), *unread(path, left)),
        **more,
    )


def _names(table: Table, column: str) -> list[str]:
    """The nodes at one end; of numbers with missing ones beside, pandas makes ``1.0``."""
    found = [table.text(row, column, value) for row, value in enumerate(table.column(column))]
    for row, name in enumerate(found):
        if not name:
            raise table.wrong(row, f"nothing in column {column!r}, which names an end of the edge")
    return found


def _nodes(path: Path, columns: Mapping[str, Any]) -> tuple[tuple[str, ...], Tensor | None, dict[str, Any]]:
    """Names of a table of nodes, their features (None where there are none), and what is known of them."""
    table = read_table(path)
    first = table.columns[0]
    if not columns.get("column") and not any(name in table.folded for name in IDS) and first.casefold() in NO_ID:
        raise UsageError(f"{path} has columns {', '.join(table.columns)}; one must be the 'id' of each node")
    manifest = read_rows(table, (*IDS, first.strip().casefold()), columns)
    names = tuple(manifest.names)
    if len(set(names)) != len(names):
        raise UsageError(f"{path}: {len(names) - len(set(names))} names of nodes stand twice")
    left = [name for name in manifest.unread if name.strip().casefold() in NUMBERS]
    features = [name for name in manifest.unread if name not in left]
    found = told(manifest, range(len(names)))
    found["notes"] = unread(path, left)
    return names, numbers(table, features) if features else None, found
