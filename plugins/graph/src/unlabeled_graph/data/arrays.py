"""Graphs in an ``.npz``: one graph, many with labels of nodes, molecules, or the gnn-benchmark layout. No pickles.

One graph: ``x[T, F]``, ``edge_index[2, E]``, and where they are known ``y[T]``, ``label_names``, ``train_idx``,
``val_idx``, ``test_idx``, ``edge_attr``. Many: ``node_ptr[G + 1]`` and ``edge_index`` numbered over all of them, with
``node_label[T]`` or ``node_feat[T, C]``, ``edge_feat``, ``y[G]``, ``fold[G]``, ``split[G]`` (0 train, 1 val, 2 test).
gnn-benchmark (https://arxiv.org/abs/1811.05868): ``adj_*`` and ``attr_*`` in compressed rows, ``labels``. A folder of
``.npy`` files has the arrays of one graph by their names, and ``x.npy`` may be larger than memory.

    # T nodes, G graphs, E directed edges, F features, C integer columns
"""

import zipfile
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


def read_arrays(path: Path, degrees: int) -> Raw:
    """What an ``.npz`` holds; ``degrees`` is F where nodes have no features of their own."""
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
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
    except (OSError, ValueError, TypeError, EOFError) as error:
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


def _names(arrays: Arrays, y: Tensor | None) -> tuple[str, ...]:
    if "label_names" in arrays:
        return tuple(str(name) for name in arrays["label_names"])
    return class_names(y)


def class_names(y: Tensor | None) -> tuple[str, ...]:
    """Numbers as names, for classes without any."""
    if y is None or y.is_floating_point() or not len(y):
        return ()
    return tuple(str(number) for number in range(int(y.max()) + 1))


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
    y = _tensor(arrays, "y", path) if "y" in arrays else None
    sets = {name: _tensor(arrays, f"{name}_idx", path).long() for name in SETS if f"{name}_idx" in arrays}
    attr = _tensor(arrays, "edge_attr", path).float() if "edge_attr" in arrays else None
    return Raw(str(path), "node", x, edges, (len(x),), y, _names(arrays, y), attr, sets)


def many(path: Path, arrays: Arrays, degrees: int) -> Raw:
    """Many graphs, which are the samples."""
    starts = _tensor(arrays, "node_ptr", path).long()
    edges = _tensor(arrays, "edge_index", path).long()
    lengths = starts.diff()
    if starts.dim() != 1 or len(starts) < 2 or int(starts[0]) != 0 or bool((lengths < 0).any()):
        raise UsageError(f"{path}: 'node_ptr' must begin with 0 and never fall, with one entry more than graphs")
    attr = None
    if "node_feat" in arrays:
        x: Tensor = node_columns(_tensor(arrays, "node_feat", path), path)
    elif "node_label" in arrays:
        x = F.one_hot(_tensor(arrays, "node_label", path).long()).float()
    else:
        x = degree_columns(edges, int(starts[-1]), degrees)
    if "edge_feat" in arrays:
        attr = bond_columns(_tensor(arrays, "edge_feat", path))
    y = _tensor(arrays, "y", path) if "y" in arrays else None
    if y is not None and y.is_floating_point() and bool((y == y.round()).all()) and int(y.max()) < 100:
        y = y.long()
    sets: dict[str, Tensor] = {}
    if "split" in arrays:
        split = _tensor(arrays, "split", path)
        sets = {name: torch.nonzero(split == number)[:, 0] for number, name in enumerate(SETS)}
    folds = _tensor(arrays, "fold", path).long() if "fold" in arrays else None
    return Raw(str(path), "graph", x, edges, tuple(lengths.tolist()), y, _names(arrays, y), attr, sets, folds)


def benchmark(path: Path, arrays: Arrays) -> Raw:
    """One graph in compressed rows."""
    offsets, sources = _tensor(arrays, "adj_indptr", path).long(), _tensor(arrays, "adj_indices", path).long()
    counts = offsets.diff()
    edges = torch.stack((sources, torch.arange(len(counts)).repeat_interleave(counts)))
    x: Rows
    if "attr_indptr" in arrays:
        width = int(arrays["attr_shape"][1])
        pattern = Pattern(
            _tensor(arrays, "attr_indptr", path).long(), _tensor(arrays, "attr_indices", path).long(), width
        )
        x = SparseRows(pattern, _tensor(arrays, "attr_data", path).float())
    else:
        x = _tensor(arrays, "attr_matrix", path).float()
    y = _tensor(arrays, "labels", path) if "labels" in arrays else None
    return Raw(str(path), "node", x, edges, (len(x),), y, _names(arrays, y))


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
        if size > 4096:
            raise UsageError(f"{path}: column {number} of 'node_feat' has {size} values; as kinds those are too many")
        parts.append(F.one_hot((column - least).clamp(0, size - 1), size).float())
    return torch.cat(parts, dim=1)


def bond_columns(columns_EC: Tensor) -> Tensor:
    """``float[E, A]``: the first column as one of the orders of a bond where it is one, the others as they are."""
    order = columns_EC[:, 0]
    if columns_EC.is_floating_point() or not bool(torch.isin(order, torch.tensor(ORDERS)).all()):
        return columns_EC.float()
    kinds = torch.stack([(order == kind).float() for kind in ORDERS], dim=1)
    return torch.cat((kinds, columns_EC[:, 1:].float()), dim=1)
