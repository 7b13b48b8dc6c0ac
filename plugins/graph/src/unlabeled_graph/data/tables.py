"""Graphs in tables: an edge list with a table of nodes, and molecules as SMILES (with RDKit).

A folder has ``edges.csv`` (columns ``source`` and ``target``, ``src`` and ``dst``, or ``from`` and ``to``, wherever
they stand, else the first two; further ones are features) and, where nodes are described, ``nodes.csv`` (``id``,
``label`` or ``y``, ``split``, ``fold``, ``group`` and features). Names of nodes may be any text. A table of molecules
has a column ``smiles``, and may have ``y`` or ``label`` (else every column of numbers is a target), ``split`` (train,
val, test), ``fold``, and ``group`` or ``scaffold``. A column that nothing reads is named.

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
from unlabeled_graph.data.arrays import bond_columns, degree_columns, node_columns
from unlabeled_graph.data.raw import SETS, Raw
from unlabeled_graph.data.targets import MANY, MISSING

LABELS = ("label", "y", "class", "target", "labels")
ENDS = (("source", "target"), ("src", "dst"), ("from", "to"), ("head", "tail"), ("u", "v"), ("sender", "receiver"))
NUMBERS = ("", "index", "unnamed: 0", "idx", "level_0")  # the number of a row, which pandas writes first
IDS = ("id", "node", "node_id", "nodeid", "name", "node_name")
GROUPS = ("group", "scaffold")
OWN = (*IDS, *NUMBERS, "mol_id", "molecule", "cid", "chembl_id")  # what tables of molecules call a row
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "0": "train"}
SPLITS |= {"1": "val", "2": "test"}


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header, in lower case, and rows of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = [row for row in csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",") if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a table: {error}") from error
    if len(found) < 2:
        raise UsageError(f"{path} has {len(found)} lines; it needs a header and rows")
    head = [name.strip().lower() for name in found[0]]
    doubled = next((name for place, name in enumerate(head) if name in head[:place]), None)
    if doubled is not None:
        raise UsageError(f"{path} has two columns {doubled!r}; each needs its own name")
    if len(head) == 1 and any(mark in head[0] for mark in ";\t|"):
        raise UsageError(f"{path}: its header is {found[0][0]!r}; columns must be separated by commas (tabs in a .tsv)")
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


def unknown(text: str) -> bool:
    """Whether a field says that its value is missing."""
    return text.strip().lower() in MISSING


def labels(texts: Sequence[str], where: str) -> tuple[Tensor | None, tuple[str, ...]]:
    """A column of numbers as they are, or classes by name; NaN or -1 where it says nothing."""
    known = [text.strip() for text in texts if not unknown(text)]
    if not known:
        return None, ()
    if all(_is_number(t) for t in known):
        return torch.tensor([float("nan") if unknown(t) else float(t) for t in texts], dtype=torch.float64), ()
    names = tuple(sorted(set(known)))
    if len(known) >= MANY and 2 * len(names) > len(known):
        raise UsageError(f"{where} has {len(names)} values in {len(known)} rows; those are no classes")
    place = {name: number for number, name in enumerate(names)}
    return torch.tensor([-1 if unknown(t) else place[t.strip()] for t in texts]), names


def sets(texts: Sequence[str], path: Path) -> dict[str, Tensor]:
    """Ids by the names in a column ``split``; an empty field is in none."""
    texts = ["" if unknown(t) else t.strip() for t in texts]
    strange = sorted({t for t in texts if t and t.lower() not in SPLITS})
    if strange:
        raise UsageError(f"{path}: the column 'split' says {strange[0]!r}; it must say {', '.join(SETS)}, or nothing")
    found = [SPLITS.get(t.lower(), "") for t in texts]
    return {
        name: torch.tensor([i for i, t in enumerate(found) if t == name], dtype=torch.int64)
        for name in SETS
        if name in found
    }


def folds(texts: Sequence[str], path: Path) -> Tensor:
    """``int64[N]`` of a column ``fold``, by the order of its values; -1 where it says nothing."""
    names = sorted({t for t in texts if not unknown(t)}, key=lambda t: (not t.isdigit(), int(t) if t.isdigit() else t))
    if len(names) < 2:
        raise UsageError(f"{path}: the column 'fold' says {', '.join(names) or 'nothing'}; it needs two folds at least")
    return torch.tensor([-1 if unknown(t) else names.index(t) for t in texts])


def marks(path: Path, head: list[str], rows: list[list[str]]) -> dict[str, Any]:
    """Sets, folds and groups of samples, where a table has columns of them."""

    def column(name: str) -> list[str]:
        return [row[head.index(name)] for row in rows]

    group = next((name for name in GROUPS if name in head), None)
    return {
        "sets": sets(column("split"), path) if "split" in head else {},
        "folds": folds(column("fold"), path) if "fold" in head else None,
        "groups": tuple(column(group)) if group else (),
    }


# ------------------------------------------------------------------------------------------------- edge lists


def ends_of(head: list[str], path: Path) -> tuple[int, int] | None:
    """The columns of an edge's ends by their names; None where none of them is known."""
    plain = [name.replace("_", "").replace(" ", "").removesuffix("nodeid").removesuffix("id") for name in head]
    plain = [short.removesuffix("node") or name for short, name in zip(plain, head)]
    for pair in ENDS:
        there = [plain.count(name) for name in pair]
        if there == [1, 1]:
            return plain.index(pair[0]), plain.index(pair[1])
        if sum(there):
            raise UsageError(f"{path} has columns {', '.join(head)}; an edge needs one {pair[0]!r} and one {pair[1]!r}")
    return None


def _first_two(head: list[str], path: Path) -> tuple[int, int]:
    """The first two columns, where these can be ends at all."""
    if len(head) < 2:
        raise UsageError(f"{path} has {len(head)} column; the first two must be the ends of an edge")
    wrong = [name for name in head[:2] if name in (*NUMBERS, "weight", "id", "edge_id", "label", "split")]
    if wrong or any(_is_number(name) for name in head[:2]):
        raise UsageError(
            f"{path} has a header of {', '.join(map(repr, head))}; call the ends of an edge source and target"
        )
    return 0, 1


def read_edges(path: Path, degrees: int) -> Raw:
    """``edges.csv``, with ``nodes.csv`` beside it where nodes are described; ``degrees`` is F where they are not."""
    head, rows = read_table(path)
    ends = ends_of(head, path) or _first_two(head, path)
    pairs = [(row[ends[0]], row[ends[1]]) for row in rows]
    beside = path.with_name("nodes.csv")
    described: Tensor | None = None
    more: dict[str, Any] = {}
    if beside.is_file():
        names, described, more = _nodes(beside)
    else:
        names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    number = {name: place for place, name in enumerate(names)}
    for line, pair in enumerate(pairs, 2):
        for end in pair:
            if end not in number:
                raise UsageError(f"{path}: line {line} names node {end!r}, which {beside.name} does not list")
    edges = torch.tensor([[number[source], number[target]] for source, target in pairs]).T.contiguous()
    unread = [c for c in range(len(head)) if head[c] in (*NUMBERS, "edge_id")]
    columns = [c for c in range(len(head)) if c not in (*ends, *unread)]
    attr = numbers(path, head, rows, columns) if columns else None
    x = degree_columns(torch.cat((edges, edges.flip(0)), 1), len(number), degrees) if described is None else described
    notes = (*more.pop("notes", ()), *(f"{path.name}: column {head[c]!r} not read" for c in unread))
    return Raw(str(path.parent), "node", x, edges, (len(number),), edge_attr=attr, names=names, notes=notes, **more)


def _nodes(path: Path) -> tuple[tuple[str, ...], Tensor | None, dict[str, Any]]:
    """Names of a table of nodes, their features (None where there are none), and what is known of them."""
    head, rows = read_table(path)
    own = next((head.index(name) for name in IDS if name in head), 0)
    label = next((head.index(name) for name in LABELS if name in head), None)
    taken = {own, label, *(head.index(name) for name in ("split", "fold", *GROUPS) if name in head)}
    if head[own] in (*LABELS, "split", "fold", *GROUPS):
        raise UsageError(f"{path} has columns {', '.join(head)}; one must be the 'id' of each node")
    unread = {c for c in range(len(head)) if head[c] in NUMBERS and c != own}
    names = tuple(row[own] for row in rows)
    if len(set(names)) != len(names):
        raise UsageError(f"{path}: {len(names) - len(set(names))} names of nodes stand twice")
    columns = [c for c in range(len(head)) if c not in taken | unread]
    x = numbers(path, head, rows, columns) if columns else None
    found = marks(path, head, rows)
    if label is not None:
        found["y"], found["classes"] = labels([row[label] for row in rows], f"{path}: the column {head[label]!r}")
    found["notes"] = tuple(f"{path.name}: column {head[c]!r} not read" for c in sorted(unread))
    return names, x, found


# ------------------------------------------------------------------------------------------------- molecules


def read_smiles(path: Path, max_bad: float) -> Raw:
    """A table of molecules; those that RDKit cannot read are left out, up to a share ``max_bad``."""
    head, rows = read_table(path)
    column = smiles_column(head, path)
    assert column is not None, "files.read asks for it first"
    good: list[tuple[list[str], tuple[Tensor, Tensor, Tensor]]] = []
    bad: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        read = molecule(row[column])
        if isinstance(read, str):
            bad[f"line {line}"] = read
        else:
            good.append((row, read))
    check_bad(path, bad, len(rows), max_bad, "molecules")
    graphs = [graph for _, graph in good]
    starts = torch.tensor([0, *(len(atoms) for atoms, _, _ in graphs)]).cumsum(0)
    edges = torch.cat([pairs + start for (_, pairs, _), start in zip(graphs, starts)], dim=1)
    x = node_columns(torch.cat([atoms for atoms, _, _ in graphs]), path)
    attr = bond_columns(torch.cat([bonds for _, _, bonds in graphs]))
    kept = [row for row, _ in good]
    found, notes = targets(path, head, kept, column)
    if bad:
        notes = (f"{len(bad)} molecules that RDKit cannot read left out", *notes)
    return Raw(
        str(path),
        "graph",
        x,
        edges,
        tuple(len(atoms) for atoms, _, _ in graphs),
        edge_attr=attr,
        names=tuple(row[column] for row in kept),
        notes=notes,
        bad=dict(bad),
        **found,
        **marks(path, head, kept),
    )


def smiles_column(head: list[str], path: Path) -> int | None:
    """The column ``smiles``, or the one whose name has it within; None where there is none."""
    named = [c for c, name in enumerate(head) if "smiles" in name]
    if "smiles" in head:
        return head.index("smiles")
    if len(named) > 1:
        raise UsageError(f"{path} has columns {', '.join(head[c] for c in named)}; call the one that is meant 'smiles'")
    return named[0] if named else None


def targets(path: Path, head: list[str], rows: list[list[str]], smiles: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The column of labels, or else all columns of numbers; and a note that names the columns that are not read."""
    known = {smiles, *(head.index(name) for name in ("split", "fold", *GROUPS) if name in head)}
    label = next((head.index(name) for name in LABELS if name in head), None)
    more = [c for c in range(len(head)) if c not in known | {label}]
    found: dict[str, Any] = {}
    if label is not None:
        read = [label]
        found["y"], found["classes"] = labels([row[label] for row in rows], f"{path}: the column {head[label]!r}")
    else:
        read = [c for c in more if head[c] not in OWN and all(unknown(r[c]) or _is_number(r[c]) for r in rows)]
        blank = [["nan" if unknown(field) else field for field in row] for row in rows]
        if read:
            found = {"y": numbers(path, head, blank, read), "columns": tuple(head[c] for c in read)}
    unread = [head[c] or "(no name)" for c in more if c not in read]
    return found, (f"columns not read: {', '.join(unread)}",) if unread else ()


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
