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
from unlabeled_graph.data.arrays import SIDES, UNREADABLE, degree_columns
from unlabeled_graph.data.raw import Raw
from unlabeled_graph.ops.pyg import CLASSES, Data, HeteroData


def read_object(path: Path, degrees: int) -> Raw:
    """What a ``.pt`` file holds; ``degrees`` is F where nodes have no features of their own."""
    try:
        with torch.serialization.safe_globals(CLASSES):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, *UNREADABLE) as error:
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


def _attr(data: Any, path: Path) -> Tensor | None:
    """Features of edges, and their weight as one more."""
    parts = [getattr(data, name, None) for name in ("edge_attr", "edge_weight")]
    found = [part.float().reshape(len(part), -1) for part in parts if part is not None]
    if len({len(part) for part in found}) > 1:
        raise UsageError(f"{path}: edge_attr has {len(found[0])} rows, edge_weight {len(found[1])}")
    return torch.cat(found, dim=1) if found else None


def _masks(data: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Ids of train, val and test, and notes."""
    sets: dict[str, Tensor] = {}
    notes: tuple[str, ...] = ()
    for name, alias in SIDES:
        mask = getattr(data, f"{alias}_mask", None)
        if mask is not None:
            sets[name] = torch.nonzero(mask if mask.dim() == 1 else mask[:, 0])[:, 0]
            if mask.dim() > 1 and mask.shape[1] > 1:
                notes = (f"the first of {mask.shape[1]} splits",)
    return sets, notes


def _rest(data: Any, known: Sequence[str]) -> tuple[str, ...]:
    """A note that names what nothing reads."""
    unread = sorted({str(key) for key in data.keys()} - {"x", "edge_index", "edge_attr", "edge_weight", "y", *known})  # noqa: SIM118
    return (f"not read: {', '.join(unread)}",) if unread else ()


MASKS = tuple(f"{alias}_mask" for _, alias in SIDES)


def _edges(data: Any, path: Path) -> Tensor:
    if data.edge_index is None:
        raise UsageError(f"{path} holds a graph without edge_index")
    edges: Tensor = data.edge_index
    return edges.long()


def from_data(data: Any, path: Path, degrees: int) -> Raw:
    """One graph, whose nodes are the samples."""
    edges, x = _edges(data, path), _features(data, degrees)
    sets, notes = _masks(data)
    notes += _rest(data, (*MASKS, "num_nodes"))
    return Raw(str(path), "node", x, edges, (len(x),), data.y, (), _attr(data, path), sets, notes=notes)


def from_list(found: Sequence[Any], path: Path, degrees: int) -> Raw:
    """Many graphs, which are the samples."""
    xs = [_features(data, degrees) for data in found]
    widths = {x.shape[1] for x in xs}
    if len(widths) > 1:
        raise UsageError(f"{path}: graphs have {sorted(widths)} features; all must have as many")
    starts = torch.tensor([0, *(len(x) for x in xs)]).cumsum(0)
    edges = torch.cat([_edges(data, path) + start for data, start in zip(found, starts)], dim=1)
    attrs = [_attr(data, path) for data in found]
    if len({None if a is None else a.shape[1] for a in attrs}) > 1:
        raise UsageError(f"{path}: some graphs have features of edges and some have not, or not as many")
    attr = torch.cat([a for a in attrs if a is not None]) if attrs[0] is not None else None
    y, notes = _targets(found)
    notes += tuple(dict.fromkeys(note for data in found for note in _rest(data, ("num_nodes", "smiles"))))
    smiles = tuple(str(getattr(data, "smiles", "")) for data in found)
    names = smiles if all(smiles) else ()
    lengths = tuple(len(x) for x in xs)
    return Raw(str(path), "graph", torch.cat(xs), edges, lengths, y, (), attr, notes=notes, names=names)


def _targets(found: Sequence[Any]) -> tuple[Tensor | None, tuple[str, ...]]:
    """``y`` of every graph, ``[G, K]``; NaN where a graph has none."""
    sizes = {data.y.numel() for data in found if data.y is not None}
    if not sizes:
        return None, ()
    if len(sizes) > 1:
        return None, ("not read: y, which graphs have in different numbers (of nodes?)",)
    without = [number for number, data in enumerate(found) if data.y is None]
    empty = torch.full((next(iter(sizes)),), torch.nan)
    rows = [empty if data.y is None else data.y.flatten() for data in found]
    y = torch.stack([row.float() for row in rows] if without else rows)
    return y, (f"{len(without):,} graphs without y",) if without else ()


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
    labeled = [kind for kind in kinds if "y" in data[kind]]
    first = labeled[0] if labeled else None
    y, sets = None, {}
    notes: tuple[str, ...] = ()
    if first is not None:
        y = torch.full((len(x), *data[first].y.shape[1:]), torch.nan, dtype=torch.float64)
        y[starts[first] : starts[first] + counts[first]] = data[first].y.double()
        own, notes = _masks(data[first])
        sets = {name: ids + starts[first] for name, ids in own.items()}
    notes += _unread(data, first)
    return Raw(str(path), "node", x, torch.cat(edges, 1), (len(x),), y, (), attr, sets, notes=notes)


def _unread(data: Any, labeled: str | None) -> tuple[str, ...]:
    """A note that names what nothing reads, by kind of node and of edge."""
    found = []
    for kind in (*data.node_types, *data.edge_types):
        known = {"x", "num_nodes", "edge_index", *(("y", *MASKS) if kind == labeled else ())}
        found += [f"{kind if isinstance(kind, str) else kind[1]}.{key}" for key in data[kind] if key not in known]
    return (f"not read: {', '.join(found)}",) if found else ()
