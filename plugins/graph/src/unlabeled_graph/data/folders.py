"""Raw folders of the two great collections: TUDataset text files, and Planetoid's pickles, read without running them.

TUDataset, https://arxiv.org/abs/2007.08663; Planetoid, https://arxiv.org/abs/1603.08861. A pickle can call any
function, so Planetoid's are read by an unpickler that knows the names which arrays, sparse matrices and the dictionary
of edges are made of, and refuses any other.

    # T nodes, G graphs, E directed edges
"""

import collections
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled_graph.data.arrays import degree_columns, one_of
from unlabeled_graph.data.raw import Raw
from unlabeled_graph.ops.sparse import from_scipy

LARGEST = 1 << 28  # nodes; a number above is a damaged file, not a graph

# ------------------------------------------------------------------------------------------------- TUDataset


def read_tu(folder: Path, degrees: int) -> Raw:
    """``NAME_A.txt`` and its companions; ``degrees`` is F where nodes have no features of their own."""
    first = sorted(folder.glob("*_A.txt"))[0]
    stem = first.name.removesuffix("_A.txt")

    def rows(name: str, kind: type) -> Tensor | None:
        path = folder / f"{stem}_{name}.txt"
        if not path.is_file():
            return None
        try:
            found = np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from error
        return torch.from_numpy(found.astype(kind))

    pairs, owner = rows("A", np.int64), rows("graph_indicator", np.int64)
    if pairs is None or owner is None:
        raise UsageError(f"{folder} has {first.name} but no {stem}_graph_indicator.txt")
    group = owner[:, 0] - 1
    if bool((group.diff() < 0).any()) or int(group.min()) < 0:
        raise UsageError(f"{folder}: the nodes of {stem}_graph_indicator.txt must be sorted by graph, from graph 1 on")
    edges = pairs.T.flip(0).contiguous() - 1  # a row names the target of an edge first
    parts = [
        one_of(kinds, f"{folder}: {stem}_node_labels.txt")
        for kinds in (rows("node_labels", np.int64),)
        if kinds is not None
    ]
    parts += [numbers for numbers in (rows("node_attributes", np.float32),) if numbers is not None]
    x = torch.cat(parts, dim=1) if parts else degree_columns(edges, len(group), degrees)
    ends = [
        one_of(bonds, f"{folder}: {stem}_edge_labels.txt")
        for bonds in (rows("edge_labels", np.int64),)
        if bonds is not None
    ]
    ends += [numbers for numbers in (rows("edge_attributes", np.float32),) if numbers is not None]
    attr = torch.cat(ends, dim=1) if ends else None
    labels, targets = rows("graph_labels", np.int64), rows("graph_attributes", np.float32)
    lengths = tuple(torch.bincount(group).tolist())
    notes: tuple[str, ...] = ()
    if labels is None or labels.shape[1] > 1:
        return Raw(str(folder), "graph", x, edges, lengths, targets if labels is None else labels, edge_attr=attr)
    if targets is not None:
        notes = (f"not read: {stem}_graph_attributes.txt, as there are labels",)
    values, y = labels[:, 0].unique(return_inverse=True)  # here -1 is a class like any other
    classes = tuple(str(value) for value in values.tolist())
    return Raw(str(folder), "graph", x, edges, lengths, y, classes, attr, notes=notes)


# ------------------------------------------------------------------------------------------------- Planetoid


def _latin1(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # how Python 3 writes bytes in an old pickle


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED: dict[str, Any] = {
    "numpy.core.multiarray._reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray._reconstruct": _RECONSTRUCT,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "scipy.sparse.csr.csr_matrix": scipy.sparse.csr_matrix,
    "scipy.sparse._csr.csr_matrix": scipy.sparse.csr_matrix,
    "collections.defaultdict": collections.defaultdict,
    "__builtin__.list": list,
    "builtins.list": list,
    "_codecs.encode": _latin1,
}


class _Known(pickle.Unpickler):
    """Makes arrays, sparse matrices, dictionaries and lists, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {full}, which no Planetoid file needs")
        return _ALLOWED[full]


def _load(path: Path) -> Any:
    try:
        return _Known(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:
        raise UsageError(f"{path} is no Planetoid file: {error}") from error


def _words(path: Path) -> scipy.sparse.csr_matrix:
    """A matrix in compressed rows; its places are checked, since scipy reads memory by them unchecked."""
    found = _load(path)
    try:
        parts = [np.asarray(getattr(found, part)) for part in ("data", "indices", "indptr")]
        if not isinstance(found, scipy.sparse.csr_matrix) or any(part.dtype.kind not in "iufb" for part in parts):
            raise TypeError(f"it holds {type(found).__name__}")
        shape = tuple(int(size) for size in found.__dict__["_shape"])
        if len(shape) != 2 or min(shape) < 0 or any(part.ndim != 1 for part in parts):
            raise ValueError(f"its shape is {shape}")
        data, indices, offsets = parts
        if len(offsets) != shape[0] + 1 or len(indices) != len(data) or offsets[0] != 0 or offsets[-1] != len(data):
            raise ValueError(f"{len(data)} values, {len(indices)} columns and {len(offsets)} offsets, shape {shape}")
        if (np.diff(offsets) < 0).any() or (len(indices) and not 0 <= indices.min() <= indices.max() < shape[1]):
            raise ValueError("its places are outside of it")
        return scipy.sparse.csr_matrix((data.astype(np.float32), indices.astype(np.int64), offsets), shape=shape)
    except Exception as error:
        raise UsageError(f"{path} is no matrix of Planetoid: {error}") from error


def _classes_of(path: Path, rows: int) -> np.ndarray:
    found = _load(path)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "iufb" or len(found) != rows:
        what = list(found.shape) if isinstance(found, np.ndarray) else type(found).__name__
        raise UsageError(f"{path} holds {what}; it must be numbers [{rows}, classes], a row for each row of features")
    return found


def _links(path: Path) -> Tensor:
    graph = _load(path)
    try:
        pairs = [(int(source), int(target)) for source, targets in graph.items() for target in targets]
        return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous()
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{path} is no dictionary of nodes and their neighbors: {error}") from error


def _test_nodes(path: Path, rows: int) -> np.ndarray:
    try:
        test = np.loadtxt(path, dtype=np.int64, ndmin=1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if len(test) != rows or not len(test) or test.min() < 0 or len(np.unique(test)) != rows or test.max() > LARGEST:
        raise UsageError(f"{path} must number each of the {rows} test nodes once, from 0 on")
    return test


def read_planetoid(folder: Path) -> Raw:
    """``ind.NAME.x`` and its companions, with the public split: 20 of each class, the next 500, and the test index.

    Isolated test nodes, of which CiteSeer has 15, have neither features nor a label.
    """
    name = sorted(folder.glob("ind.*.allx"))[0].name.split(".")[1]
    x, tx, allx = (_words(folder / f"ind.{name}.{part}") for part in ("x", "tx", "allx"))
    if not x.shape[1] == tx.shape[1] == allx.shape[1] or x.shape[0] > allx.shape[0]:
        raise UsageError(
            f"{folder}: x, tx and allx have shapes {x.shape}, {tx.shape} and {allx.shape}, which do not fit"
        )
    ty, ally = (_classes_of(folder / f"ind.{name}.{n}", m.shape[0]) for n, m in (("ty", tx), ("ally", allx)))
    if ty.shape[1] != ally.shape[1]:
        raise UsageError(f"{folder}: ty has {ty.shape[1]} classes, ally {ally.shape[1]}")
    edges = _links(folder / f"ind.{name}.graph")
    test = _test_nodes(folder / f"ind.{name}.test.index", tx.shape[0])
    count = max(int(test.max()) + 1, allx.shape[0])
    words = scipy.sparse.lil_matrix((count, allx.shape[1]), dtype=np.float32)
    words[: allx.shape[0]] = allx
    words[test] = tx  # row i of tx belongs to node test[i], in whatever order the file lists them
    labels = np.zeros((count, ally.shape[1]))
    labels[: ally.shape[0]], labels[test] = ally, ty
    known = torch.from_numpy(np.where(labels.sum(1) > 0, labels.argmax(1), -1))
    train, val = torch.arange(x.shape[0]), torch.arange(x.shape[0], min(x.shape[0] + 500, allx.shape[0]))
    sets = {"train": train, "val": val, "test": torch.from_numpy(np.sort(test))}
    classes = tuple(str(number) for number in range(ally.shape[1]))
    return Raw(str(folder), "node", from_scipy(words), edges, (count,), known, classes, sets=sets)
