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
import torch.nn.functional as F
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled_graph.data.arrays import class_names, degree_columns
from unlabeled_graph.data.raw import Raw
from unlabeled_graph.ops.sparse import from_scipy

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
    parts = [one_of(kinds) for kinds in (rows("node_labels", np.int64),) if kinds is not None]
    parts += [numbers for numbers in (rows("node_attributes", np.float32),) if numbers is not None]
    x = torch.cat(parts, dim=1) if parts else degree_columns(edges, len(group), degrees)
    bonds = rows("edge_labels", np.int64)
    attr = rows("edge_attributes", np.float32) if bonds is None else one_of(bonds)
    labels, targets = rows("graph_labels", np.int64), rows("graph_attributes", np.float32)
    y = None if labels is None else labels[:, 0].unique(return_inverse=True)[1]
    if y is None and targets is not None:
        y = targets[:, 0]
    lengths = tuple(torch.bincount(group).tolist())
    return Raw(str(folder), "graph", x, edges, lengths, y, class_names(y), attr)


def one_of(kinds_TC: Tensor) -> Tensor:
    """``float[T, F]``: each integer column as one of its values."""
    parts = [F.one_hot(column - column.min()).float() for column in kinds_TC.T]
    return torch.cat(parts, dim=1)


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


def read_planetoid(folder: Path) -> Raw:
    """``ind.NAME.x`` and its companions, with the public split: 20 of each class, the next 500, and the test index.

    Isolated test nodes, of which CiteSeer has 15, have neither features nor a label.
    """
    name = sorted(folder.glob("ind.*.allx"))[0].name.split(".")[1]
    x, tx, allx, ty, ally, graph = (
        _load(folder / f"ind.{name}.{part}") for part in ("x", "tx", "allx", "ty", "ally", "graph")
    )
    test = np.loadtxt(folder / f"ind.{name}.test.index", dtype=np.int64, ndmin=1)
    count = max(int(test.max()) + 1, allx.shape[0])
    words = scipy.sparse.lil_matrix((count, allx.shape[1]), dtype=np.float32)
    words[: allx.shape[0]] = allx
    words[test] = tx  # row i of tx belongs to node test[i], in whatever order the file lists them
    labels = np.zeros((count, ally.shape[1]))
    labels[: ally.shape[0]], labels[test] = ally, ty
    known = torch.from_numpy(np.where(labels.sum(1) > 0, labels.argmax(1), -1))
    pairs = [(source, target) for source, targets in graph.items() for target in targets]
    edges = torch.tensor(pairs, dtype=torch.int64).T.contiguous()
    train, val = torch.arange(x.shape[0]), torch.arange(x.shape[0], min(x.shape[0] + 500, allx.shape[0]))
    sets = {"train": train, "val": val, "test": torch.from_numpy(np.sort(test))}
    return Raw(str(folder), "node", from_scipy(words), edges, (count,), known, class_names(known), sets=sets)
