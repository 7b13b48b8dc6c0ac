"""PyG's own files: ``torch.save`` of ``Data``, ``HeteroData`` or a list of ``Data``, read without running code in them.

Many kinds of nodes become one graph: features side by side, then one column that says the kind; each kind of edge has
one column of edge features, and the reverse direction one of its own.

    # T nodes, E directed edges, F features
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled_graph.data.arrays import class_names, degree_columns
from unlabeled_graph.data.raw import SETS, Raw
from unlabeled_graph.ops.pyg import CLASSES, Data, HeteroData


def read_object(path: Path, degrees: int) -> Raw:
    """What a ``.pt`` file holds; ``degrees`` is F where nodes have no features of their own."""
    try:
        with torch.serialization.safe_globals(CLASSES):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, OSError, ValueError) as error:
        cause = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), repr(error)[:200])
        raise UsageError(f"{path} cannot be read as a PyG file without running code in it: {cause}") from error
    if isinstance(found, Mapping) and "edge_index" in found:
        found = Data.from_dict(dict(found))
    if isinstance(found, HeteroData):
        return from_hetero(found, path)
    if isinstance(found, Data):
        return from_data(found, path, degrees)
    if isinstance(found, Sequence) and found and all(isinstance(part, Data) for part in found):
        return from_list(found, path, degrees)
    raise UsageError(f"{path} holds {type(found).__name__}; it must hold Data, HeteroData, or a list of Data")


def _features(data: Any, degrees: int) -> Tensor:
    if data.x is not None:
        return data.x.float() if data.x.dim() == 2 else data.x.float()[:, None]
    return degree_columns(data.edge_index, int(data.num_nodes), degrees)


def _attr(data: Any) -> Tensor | None:
    attr = data.edge_attr
    return None if attr is None else attr.float().reshape(len(attr), -1)


def _edges(data: Any, path: Path) -> Tensor:
    if data.edge_index is None:
        raise UsageError(f"{path} holds a graph without edge_index")
    edges: Tensor = data.edge_index
    return edges.long()


def from_data(data: Any, path: Path, degrees: int) -> Raw:
    """One graph, whose nodes are the samples."""
    edges, x = _edges(data, path), _features(data, degrees)
    y = None if data.y is None else data.y.flatten()
    sets = {}
    for name in SETS:
        mask = getattr(data, f"{name}_mask", None)
        if mask is not None:
            sets[name] = torch.nonzero(mask if mask.dim() == 1 else mask[:, 0])[:, 0]
    return Raw(str(path), "node", x, edges, (len(x),), y, class_names(y), _attr(data), sets)


def from_list(found: Sequence[Any], path: Path, degrees: int) -> Raw:
    """Many graphs, which are the samples."""
    xs = [_features(data, degrees) for data in found]
    widths = {x.shape[1] for x in xs}
    if len(widths) > 1:
        raise UsageError(f"{path}: graphs have {sorted(widths)} features; all must have as many")
    starts = torch.tensor([0, *(len(x) for x in xs)]).cumsum(0)
    edges = torch.cat([_edges(data, path) + start for data, start in zip(found, starts)], dim=1)
    attrs = [_attr(data) for data in found]
    attr = torch.cat([a for a in attrs if a is not None]) if all(a is not None for a in attrs) else None
    y = None
    if all(data.y is not None and data.y.numel() == 1 for data in found):
        y = torch.stack([data.y.flatten()[0] for data in found])
    lengths = tuple(len(x) for x in xs)
    return Raw(str(path), "graph", torch.cat(xs), edges, lengths, y, class_names(y), attr)


def from_hetero(data: Any, path: Path) -> Raw:
    """Nodes and edges of many kinds as one graph."""
    kinds, relations = list(data.node_types), list(data.edge_types)
    counts = {kind: int(data[kind].num_nodes) for kind in kinds}
    widths = {kind: data[kind].x.shape[1] if "x" in data[kind] else 0 for kind in kinds}
    left, starts, rows, start = 0, {}, [], 0
    for kind in kinds:
        own = data[kind].x.float() if widths[kind] else torch.zeros(counts[kind], 0)
        rows.append(F.pad(own, (left, sum(widths.values()) - left - widths[kind])))
        starts[kind], start, left = start, start + counts[kind], left + widths[kind]
    kind_of = torch.arange(len(kinds)).repeat_interleave(torch.tensor([counts[kind] for kind in kinds]))
    x = torch.cat((torch.cat(rows), F.one_hot(kind_of, len(kinds)).float()), dim=1)
    edges, which = [], []
    for number, (source, _, target) in enumerate(relations):
        pairs = data[relations[number]].edge_index.long()
        shift = torch.tensor([[starts[source]], [starts[target]]])
        edges += [pairs + shift, (pairs + shift).flip(0)]
        which += [torch.full((pairs.shape[1],), 2 * number), torch.full((pairs.shape[1],), 2 * number + 1)]
    attr = F.one_hot(torch.cat(which), 2 * len(relations)).float()
    y = torch.full((len(x),), -1)
    labeled = [kind for kind in kinds if "y" in data[kind] and not data[kind].y.is_floating_point()]
    for kind in labeled[:1]:
        y[starts[kind] : starts[kind] + counts[kind]] = data[kind].y.long().flatten()
    known = y if labeled else None
    return Raw(str(path), "node", x, torch.cat(edges, 1), (len(x),), known, class_names(known), attr)
