"""Graphs in an ``.npz``: one graph, many with labels of nodes, molecules, or the gnn-benchmark layout. No pickles.

One graph: ``x[T, F]``, ``edge_index[2, E]``, and where they are known ``y[T]`` or ``y[T, K]``, ``label_names``,
``train_idx``, ``val_idx``, ``test_idx`` (or ``*_mask``, or ``split``), ``edge_attr``, ``edge_weight``. Many:
``node_ptr[G + 1]`` and ``edge_index`` numbered over all of them, with ``node_label[T]``, ``x[T, F]`` or
``node_feat[T, C]``, ``edge_feat``, ``y[G]`` or ``y[G, K]``, ``fold[G]``, ``split[G]`` (0 train, 1 val, 2 test),
``group[G]`` or ``scaffold[G]``, ``smiles[G]`` as names. What nothing reads is named.
gnn-benchmark (https://arxiv.org/abs/1811.05868): ``adj_*`` and ``attr_*`` in compressed rows, ``labels``. A folder of
``.npy`` files has the arrays of one graph by their names, and ``x.npy`` may be larger than memory.

    # T nodes, G graphs, E directed edges, F features, C integer columns
"""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled_graph.data.raw import SETS, Raw
from unlabeled_graph.ops.sparse import Pattern, Rows, SparseRows

# atomic number, degree, formal charge, hydrogens, hybridization, aromatic, chirality: values of each, and the least
ATOM = ((119, 0), (11, 0), (11, -5), (9, 0), (9, 0), (2, 0), (4, 0))
ORDERS = (2, 3, 4, 6)  # twice the order of a bond: single, aromatic, double, triple
Arrays = Mapping[str, np.ndarray]
KINDS = 4096  # values of a column of whole numbers that may each become a column
CSR = ("data", "indices", "indptr")
ALIASES = {"train": ("train",), "val": ("val", "valid", "validation", "dev"), "test": ("test",)}
SIDES = tuple((name, alias) for name, aliases in ALIASES.items() for alias in aliases)
SHARED = (
    "edge_index", "y", "split", "fold", "label_names", "target_names", "names", "smiles", "group", "groups", "scaffold",
)  # fmt: skip
# what a damaged archive raises on its way through zipfile, a decompressor, and numpy's header
UNREADABLE = (
    OSError, ValueError, TypeError, AttributeError, EOFError, KeyError, RuntimeError, NotImplementedError, MemoryError,
    OverflowError, SyntaxError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip


def read_arrays(path: Path, degrees: int) -> Raw:
    """What an ``.npz`` holds; ``degrees`` is F where nodes have no features of their own."""
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except UNREADABLE as error:
        raise UsageError(f"{path} cannot be read as .npz: {error}") from error
    if "node_ptr" in arrays:
        return many(path, arrays, degrees)
    if "adj_indptr" in arrays:
        return benchmark(path, arrays)
    return one(path, arrays, degrees)


def read_mapped(folder: Path) -> Raw:
    """``x.npy``, which stays on the disk, with ``edge_index.npy``, ``y.npy``, ``train_idx.npy`` and the like."""
    try:
        arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy") if path.stem != "x"}
        # copy on write: nothing is ever written, and torch takes no read-only memory
        x = torch.from_numpy(np.load(folder / "x.npy", mmap_mode="c", allow_pickle=False))
    except UNREADABLE as error:
        raise UsageError(f"{folder} cannot be read as .npy files: {error}") from error
    if x.dim() != 2:
        raise UsageError(f"{folder}: x.npy has shape {list(x.shape)}; it must be [nodes, features]")
    found = one(folder, {**arrays, "x": np.zeros((0, x.shape[1]), np.float32)}, 2)
    return replace(found, x=x, lengths=(len(x),), mapped=True)


def _tensor(arrays: Arrays, name: str, path: Path) -> Tensor:
    if name not in arrays:
        raise UsageError(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; it must have {name!r}")
    found = arrays[name]
    if found.dtype.kind not in "iufb":
        raise UsageError(f"{path}: {name!r} has type {found.dtype}; it must hold numbers")
    return torch.from_numpy(found.astype(np.float32 if found.dtype.kind == "f" else np.int64))


def _columns(arrays: Arrays, name: str, path: Path) -> Tensor:
    """``[E, A]``: one number of each edge (or node) is a column."""
    found = _tensor(arrays, name, path)
    if found.dim() not in (1, 2):
        raise UsageError(f"{path}: {name!r} has shape {list(found.shape)}; it must be [rows] or [rows, features]")
    return found[:, None] if found.dim() == 1 else found


def _texts(arrays: Arrays, *names: str) -> tuple[str, ...]:
    """The first of these arrays that there is, as texts."""
    return next((tuple(str(text) for text in arrays[name].flatten()) for name in names if name in arrays), ())


def _edge_columns(arrays: Arrays, path: Path) -> Tensor | None:
    """``float[E, A]``: features of edges, and their weight as one more."""
    parts = [_columns(arrays, name, path).float() for name in ("edge_attr", "edge_weight") if name in arrays]
    if len({len(part) for part in parts}) > 1:
        raise UsageError(f"{path}: 'edge_attr' has {len(parts[0])} rows, 'edge_weight' {len(parts[1])}")
    return torch.cat(parts, dim=1) if parts else None


def _sets(arrays: Arrays, path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Ids of train, val and test, by ``*_idx``, ``*_mask`` or ``split``, of which there may be one; and notes."""
    ways: dict[str, dict[str, Tensor]] = {"_idx": {}, "_mask": {}, "split": {}}
    notes = []
    for name, alias in SIDES:
        if f"{alias}_idx" in arrays:
            ways["_idx"][name] = _tensor(arrays, f"{alias}_idx", path).long().flatten()
        if f"{alias}_mask" in arrays:
            mask = _columns(arrays, f"{alias}_mask", path)
            ways["_mask"][name] = torch.nonzero(mask[:, 0])[:, 0]
            if mask.shape[1] > 1:
                notes.append(f"the first of {mask.shape[1]} splits")
    if "split" in arrays:
        ways["split"] = _split(arrays, path)
    given = [way for way, found in ways.items() if found]
    if len(given) > 1:
        raise UsageError(f"{path} has a split by {' and by '.join(given)}; leave one of them")
    return ways[given[0]] if given else {}, tuple(dict.fromkeys(notes))


def _split(arrays: Arrays, path: Path) -> dict[str, Tensor]:
    if arrays["split"].dtype.kind in "US":
        words = [str(word).lower() for word in arrays["split"]]
        found = [next((name for name in SETS if word in ALIASES[name]), word) for word in words]
    else:
        numbers = _tensor(arrays, "split", path).flatten().tolist()
        found = [SETS[int(n)] if n in (0, 1, 2) else ("" if n == -1 else str(n)) for n in numbers]
    strange = sorted({name for name in found if name and name not in SETS})
    if strange:
        raise UsageError(f"{path}: 'split' says {strange[0]}; it must be 0, 1, 2 or {', '.join(SETS)} (-1 = none)")
    return {
        name: torch.tensor([i for i, n in enumerate(found) if n == name], dtype=torch.int64)
        for name in SETS
        if name in found
    }


def _rest(arrays: Arrays, known: tuple[str, ...]) -> tuple[str, ...]:
    """A note that names arrays which nothing reads."""
    sides = [f"{alias}_{way}" for _, alias in SIDES for way in ("idx", "mask")]
    unread = sorted(set(arrays) - {*known, *sides, *SHARED})
    return (f"not read: {', '.join(unread)}",) if unread else ()


def _whole(arrays: Arrays, path: Path, level: str, x: Rows, edges: Tensor, lengths: tuple[int, ...]) -> Raw:
    """With what both kinds of files say of their samples and edges: labels, split, folds, groups, names."""
    sets, notes = _sets(arrays, path)
    y = _tensor(arrays, "y", path) if "y" in arrays else None
    return Raw(
        str(path),
        level,
        x,
        edges,
        lengths,
        y,
        _texts(arrays, "label_names"),
        sets=sets,
        folds=_tensor(arrays, "fold", path).long().flatten() if "fold" in arrays else None,
        notes=notes,
        columns=_texts(arrays, "target_names"),
        names=_texts(arrays, "names", "smiles"),
        groups=_texts(arrays, "group", "groups", "scaffold"),
    )


def one(path: Path, arrays: Arrays, degrees: int) -> Raw:
    """One graph, whose nodes are the samples."""
    edges = _tensor(arrays, "edge_index", path).long()
    if edges.dim() == 2 and len(edges) != 2 and edges.shape[1] == 2:
        edges = edges.T.contiguous()
    if "x" in arrays:
        x = _tensor(arrays, "x", path).float()
        if x.dim() != 2:
            raise UsageError(f"{path}: 'x' has shape {list(x.shape)}; it must be [nodes, features]")
    else:
        x = degree_columns(edges, int(edges.max()) + 1 if edges.numel() else 0, degrees)
    raw = _whole(arrays, path, "node", x, edges, (len(x),))
    return replace(
        raw,
        edge_attr=_edge_columns(arrays, path),
        notes=(*raw.notes, *_rest(arrays, ("x", "edge_attr", "edge_weight"))),
    )


def many(path: Path, arrays: Arrays, degrees: int) -> Raw:
    """Many graphs, which are the samples."""
    starts = _tensor(arrays, "node_ptr", path).long()
    edges = _tensor(arrays, "edge_index", path).long()
    lengths = starts.diff()
    if starts.dim() != 1 or len(starts) < 2 or int(starts[0]) != 0 or bool((lengths < 0).any()):
        raise UsageError(f"{path}: 'node_ptr' must begin with 0 and never fall, with one entry more than graphs")
    attr = _edge_columns(arrays, path)
    if "node_feat" in arrays:
        x: Tensor = node_columns(_columns(arrays, "node_feat", path), path)
    elif "x" in arrays:
        x = _columns(arrays, "x", path).float()
    elif "node_label" in arrays:
        x = one_of(_columns(arrays, "node_label", path).long(), f"{path}: 'node_label'")
    else:
        x = degree_columns(edges, int(starts[-1]), degrees)
    if "edge_feat" in arrays:
        bonds = bond_columns(_columns(arrays, "edge_feat", path))
        attr = bonds if attr is None else torch.cat((bonds, attr), dim=1)
    raw = _whole(arrays, path, "graph", x, edges, tuple(lengths.tolist()))
    first = next((name for name in ("node_feat", "x", "node_label") if name in arrays), "")
    read = ("node_ptr", first, "edge_feat", "edge_attr", "edge_weight")
    return replace(raw, edge_attr=attr, notes=(*raw.notes, *_rest(arrays, read)))


def benchmark(path: Path, arrays: Arrays) -> Raw:
    """One graph in compressed rows."""
    offsets, sources = _compressed(arrays, "adj", path)
    counts = offsets.diff()
    edges = torch.stack((sources, torch.arange(len(counts)).repeat_interleave(counts)))
    x: Rows
    if "attr_indptr" in arrays:
        starts, columns = _compressed(arrays, "attr", path)
        width = int(_tensor(arrays, "attr_shape", path).flatten()[-1])
        values = _tensor(arrays, "attr_data", path).float()
        if len(values) != len(columns) or (len(columns) and int(columns.max()) >= width):
            raise UsageError(f"{path}: 'attr' has {len(values)} values for {len(columns)} places of {width} columns")
        x = SparseRows(Pattern(starts, columns, width), values)
    else:
        x = _columns(arrays, "attr_matrix", path).float()
    weight = _tensor(arrays, "adj_data", path).float() if "adj_data" in arrays else torch.ones(len(sources))
    attr = weight[:, None] if bool((weight != 1).any()) else None
    labels = {"y": arrays["labels"]} if "labels" in arrays else {}
    raw = _whole({**arrays, **labels}, path, "node", x, edges, (len(x),))
    read = ("labels", "attr_matrix", "adj_shape", "attr_shape", *(f"{k}_{p}" for k in ("adj", "attr") for p in CSR))
    return replace(raw, edge_attr=attr, notes=(*raw.notes, *_rest(arrays, read)))


def _compressed(arrays: Arrays, name: str, path: Path) -> tuple[Tensor, Tensor]:
    """Offsets and columns of a matrix in compressed rows, whose places are inside it."""
    offsets, columns = (_tensor(arrays, f"{name}_{part}", path).long() for part in ("indptr", "indices"))
    whole = offsets.dim() == columns.dim() == 1 and len(offsets) > 0
    if not whole or int(offsets[0]) != 0 or bool((offsets.diff() < 0).any()) or int(offsets[-1]) != len(columns):
        raise UsageError(f"{path}: '{name}_indptr' must begin with 0, never fall, and end with {columns.numel()}")
    if len(columns) and int(columns.min()) < 0:
        raise UsageError(f"{path}: '{name}_indices' has {int(columns.min())}; columns are numbered from 0 on")
    return offsets, columns


# ------------------------------------------------------------------------------------------------- features


def degree_columns(edges: Tensor, total: int, degrees: int) -> Tensor:
    """``float[T, degrees]``: each node's degree as one of so many, the last for all above."""
    inside = edges[:, (edges >= 0).all(0) & (edges < total).all(0)]
    degree = torch.bincount(inside[1], minlength=total)
    return F.one_hot(degree.clamp(max=degrees - 1), degrees).float()


def node_columns(columns_TC: Tensor, path: Path) -> Tensor:
    """``float[T, F]``: integers of atoms, each column as one of its values; floats as they are."""
    if columns_TC.is_floating_point():
        return columns_TC
    sizes = ATOM if columns_TC.shape[1] == len(ATOM) else None
    parts = []
    for number, column in enumerate(columns_TC.T):
        least = sizes[number][1] if sizes else int(column.min())
        size = sizes[number][0] if sizes else int(column.max()) - least + 1
        if size > KINDS:
            raise UsageError(f"{path}: column {number} of 'node_feat' has {size} values; as kinds those are too many")
        parts.append(F.one_hot((column - least).clamp(0, size - 1), size).float())
    return torch.cat(parts, dim=1)


def one_of(kinds_TC: Tensor, where: str) -> Tensor:
    """``float[T, F]``: each integer column as one of its values."""
    parts = []
    for column in kinds_TC.T:
        size = int(column.max() - column.min()) + 1
        if size > KINDS:
            raise UsageError(f"{where} has values from {int(column.min())} to {int(column.max())}: too many as kinds")
        parts.append(F.one_hot(column - column.min(), size).float())
    return torch.cat(parts, dim=1)


def bond_columns(columns_EC: Tensor) -> Tensor:
    """``float[E, A]``: the first column as one of the orders of a bond where it is one, the others as they are."""
    order = columns_EC[:, 0]
    if columns_EC.is_floating_point() or not bool(torch.isin(order, torch.tensor(ORDERS)).all()):
        return columns_EC.float()
    kinds = torch.stack([(order == kind).float() for kind in ORDERS], dim=1)
    return torch.cat((kinds, columns_EC[:, 1:].float()), dim=1)
