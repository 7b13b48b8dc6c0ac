"""Graphs in tables: an edge list with a table of nodes, and molecules as SMILES (with RDKit).

A folder has ``edges.csv`` (its first two columns are the ends of each edge, further ones its features) and, where nodes
are described, ``nodes.csv`` (``id``, then ``label`` or ``y``, ``split``, and features). Names of nodes may be any text.
A table of molecules has a column ``smiles``, and may have ``y`` or ``label``, and ``split`` (train, val, test).

    # T nodes, E edges, F features
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.data.files import check_bad
from unlabeled.errors import PluginError, UsageError
from unlabeled_graph.data.arrays import bond_columns, class_names, degree_columns, node_columns
from unlabeled_graph.data.raw import SETS, Raw

LABELS = ("label", "y", "class", "target")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "0": "train"}
SPLITS |= {"1": "val", "2": "test"}


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header, in lower case, and rows of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a table: {error}") from error
    if len(found) < 2:
        raise UsageError(f"{path} has {len(found)} lines; it needs a header and rows")
    head = [name.strip().lower() for name in found[0]]
    for number, row in enumerate(found[1:], 2):
        if len(row) != len(head):
            raise UsageError(f"{path}: line {number} has {len(row)} fields, the header {len(head)}")
    return head, found[1:]


def numbers(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]) -> Tensor:
    """``float[rows, columns]``; :class:`UsageError` names the first field that is no number."""
    out = []
    for number, row in enumerate(rows, 2):
        try:
            out.append([float(row[c]) for c in columns])
        except ValueError as error:
            bad = next(c for c in columns if not _is_number(row[c]))
            raise UsageError(
                f"{path}: line {number}, column {head[bad]!r} is {row[bad]!r}, which is no number"
            ) from error
    return torch.tensor(out)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def labels(texts: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Classes of a column, -1 where it is empty; numbers with a fraction are targets of a regression."""
    known = [text for text in texts if text]
    if not known:
        return None, ()
    if all(_is_number(t) for t in known) and any(float(t) != round(float(t)) for t in known):
        return torch.tensor([float(t) if t else float("nan") for t in texts]), ()
    if all(_is_number(t) for t in known) and min(float(t) for t in known) >= 0:
        y = torch.tensor([int(float(t)) if t else -1 for t in texts])
        return y, class_names(y)
    names = tuple(sorted(set(known)))
    return torch.tensor([names.index(t) if t else -1 for t in texts]), names


def sets(texts: Sequence[str], path: Path) -> dict[str, Tensor]:
    """Ids by the names in a column ``split``; an empty field is in none."""
    strange = sorted({t for t in texts if t and t.lower() not in SPLITS})
    if strange:
        raise UsageError(f"{path}: the column 'split' says {strange[0]!r}; it must say {', '.join(SETS)}, or nothing")
    found = [SPLITS.get(t.lower(), "") for t in texts]
    return {
        name: torch.tensor([i for i, t in enumerate(found) if t == name], dtype=torch.int64)
        for name in SETS
        if name in found
    }


# ------------------------------------------------------------------------------------------------- edge lists


def read_edges(path: Path, degrees: int) -> Raw:
    """``edges.csv``, with ``nodes.csv`` beside it where nodes are described; ``degrees`` is F where they are not."""
    head, rows = read_table(path)
    if len(head) < 2:
        raise UsageError(f"{path} has {len(head)} column; the first two must be the ends of an edge")
    beside = path.with_name("nodes.csv")
    y, names, marked, described = None, (), {}, None
    if beside.is_file():
        columns, nodes = read_table(beside)
        number = {row[0]: place for place, row in enumerate(nodes)}
        if len(number) != len(nodes):
            raise UsageError(f"{beside}: {len(nodes) - len(number)} names of nodes stand twice")
        described, y, names, marked = _nodes(beside, columns, nodes)
    else:
        number = {name: place for place, name in enumerate(dict.fromkeys(n for row in rows for n in row[:2]))}
    for line, row in enumerate(rows, 2):
        for end in row[:2]:
            if end not in number:
                raise UsageError(f"{path}: line {line} names node {end!r}, which {beside.name} does not list")
    edges = torch.tensor([[number[row[0]], number[row[1]]] for row in rows]).T.contiguous()
    attr = numbers(path, head, rows, range(2, len(head))) if len(head) > 2 else None
    x = degree_columns(torch.cat((edges, edges.flip(0)), 1), len(number), degrees) if described is None else described
    return Raw(str(path.parent), "node", x, edges, (len(number),), y, names, attr, marked)


def _nodes(path: Path, head: list[str], rows: list[list[str]]) -> tuple[Any, ...]:
    """Features (None where there are none), classes with their names, and sets of a table of nodes."""
    label = next((head.index(name) for name in LABELS if name in head), None)
    split = head.index("split") if "split" in head else None
    columns = [c for c in range(1, len(head)) if c not in (label, split)]
    x = numbers(path, head, rows, columns) if columns else None
    y, names = (None, ()) if label is None else labels([row[label] for row in rows])
    return x, y, names, {} if split is None else sets([row[split] for row in rows], path)


# ------------------------------------------------------------------------------------------------- molecules


def read_smiles(path: Path, max_bad: float) -> Raw:
    """A table of molecules; those that RDKit cannot read are left out, up to a share ``max_bad``."""
    head, rows = read_table(path)
    column = head.index("smiles")
    label = next((head.index(name) for name in LABELS if name in head), None)
    good: list[tuple[list[str], tuple[Tensor, Tensor, Tensor]]] = []
    bad: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        found = molecule(row[column])
        if isinstance(found, str):
            bad[f"line {line}"] = found
        else:
            good.append((row, found))
    check_bad(path, bad, len(rows), max_bad, "molecules")
    graphs = [graph for _, graph in good]
    starts = torch.tensor([0, *(len(atoms) for atoms, _, _ in graphs)]).cumsum(0)
    edges = torch.cat([pairs + start for (_, pairs, _), start in zip(graphs, starts)], dim=1)
    x = node_columns(torch.cat([atoms for atoms, _, _ in graphs]), path)
    attr = bond_columns(torch.cat([bonds for _, _, bonds in graphs]))
    y, names = (None, ()) if label is None else labels([row[label] for row, _ in good])
    marked = sets([row[head.index("split")] for row, _ in good], path) if "split" in head else {}
    notes = (f"{len(bad)} molecules that RDKit cannot read left out",) if bad else ()
    lengths = tuple(len(atoms) for atoms, _, _ in graphs)
    return Raw(str(path), "graph", x, edges, lengths, y, names, attr, marked, None, notes)


def molecule(smiles: str) -> tuple[Tensor, Tensor, Tensor] | str:
    """Atoms ``int[T, 7]``, bonds ``[2, E]`` both ways and ``int[E, 3]`` of each; or why there are none."""
    try:
        from rdkit import Chem, rdBase
    except ModuleNotFoundError as error:
        raise PluginError("molecules need the package 'rdkit': pip install 'unlabeled-graph[molecules]'") from error
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(smiles)
    if found is None or found.GetNumAtoms() == 0:
        return f"{smiles!r} is no molecule that RDKit can read"
    atoms = [
        (
            atom.GetAtomicNum(),
            atom.GetDegree(),
            atom.GetFormalCharge(),
            atom.GetTotalNumHs(),
            int(atom.GetHybridization()),
            int(atom.GetIsAromatic()),
            int(atom.GetChiralTag()),
        )
        for atom in found.GetAtoms()
    ]
    pairs, bonds = [], []
    for bond in found.GetBonds():
        kind = (round(2 * bond.GetBondTypeAsDouble()), int(bond.GetIsConjugated()), int(bond.IsInRing()))
        ends = (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        pairs += [ends, ends[::-1]]
        bonds += [kind, kind]
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    return torch.tensor(atoms), edges, torch.tensor(bonds, dtype=torch.int64).reshape(-1, 3)
