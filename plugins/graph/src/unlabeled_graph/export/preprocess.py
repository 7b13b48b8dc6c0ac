"""Graphs as the encoder read them, by numpy and torch alone.

``read(graph)`` takes the path of an ``.npz``, or a mapping of its arrays: ``x[T, F]`` (or ``node_feat``, integers of
atoms or of kinds; ``node_label``; without any of them the degree as one of F) and ``edge_index[2, E]``, of many graphs
with ``node_ptr[G + 1]``; ``edge_feat``, ``edge_attr``, ``edge_weight`` where edges have features. It gives ``x``,
``edge_index``, ``batch`` (the graph of each node) and ``edge_attr``. Steps: integers as one of their values; loops left
out, of equal edges the first kept, the other direction added where it is missing; rows of counts divided by their sum.
The numbers stand in ``preprocess.json`` beside this file.

    # T nodes, G graphs, E directed edges, F features, A numbers of an edge
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# atomic number, degree, formal charge, hydrogens, hybridization, aromatic, chirality: values of each, and the least
ATOM = ((119, 0), (11, 0), (11, -5), (9, 0), (9, 0), (2, 0), (4, 0))
ORDERS = (2, 3, 4, 6)  # twice the order of a bond: single, aromatic, double, triple


@cache
def settings() -> dict[str, Any]:
    """The numbers of this encoder."""
    found: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return found


def read(graph: Any) -> dict[str, Any]:
    """``x[T, F]``, ``edge_index[2, E]``, ``batch[T]``, ``edge_attr[E, A]`` or None, and ``graphs``, how many."""
    arrays = {name: torch.from_numpy(np.asarray(value)) for name, value in _arrays(graph).items()}
    edges = arrays["edge_index"].long()
    edges = edges.T if len(edges) != 2 and edges.shape[1] == 2 else edges
    pointer = arrays.get("node_ptr")
    x = node_features(arrays, edges, None if pointer is None else int(pointer[-1]))
    if x.shape[1] != settings()["features"]:
        raise ValueError(f"nodes have {x.shape[1]} features, the encoder reads {settings()['features']}")
    sizes = torch.tensor([len(x)]) if pointer is None else pointer.long().diff()
    bag = pointer is None and x.shape[1] >= 64 and bool((x >= 0).all()) and int((x != 0).sum()) < 0.5 * x.numel()
    if settings()["normalize"] == "row" or (settings()["normalize"] == "auto" and bag):
        total = x.sum(1, keepdim=True)
        x = torch.where(total == 0, x, x / total)
    edges, attr = linked(edges, edge_features(arrays), len(x))
    group = torch.arange(len(sizes)).repeat_interleave(sizes)
    return {"x": x, "edge_index": edges, "batch": group, "edge_attr": attr, "graphs": len(sizes)}


def _arrays(graph: Any) -> Mapping[str, Any]:
    if not isinstance(graph, (str, Path)):
        found: Mapping[str, Any] = graph
        return found
    with np.load(graph, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if file[name].dtype.kind in "iufb"}


def node_features(arrays: Mapping[str, Tensor], edges: Tensor, total: int | None) -> Tensor:
    """``float[T, F]``; of one graph ``x`` or degrees, of many whatever comes first."""
    names = ("x",) if total is None else ("node_feat", "x", "node_label")
    name = next((name for name in names if name in arrays), "")
    if not name:
        count = (int(edges.max()) + 1 if edges.numel() else 0) if total is None else total
        degree = torch.bincount(edges[1], minlength=count)
        return F.one_hot(degree.clamp(max=settings()["features"] - 1), settings()["features"]).float()
    found = arrays[name] if arrays[name].dim() > 1 else arrays[name][:, None]
    if name == "x" or found.is_floating_point():
        return found.float()
    found = found.long()
    known = ATOM if name == "node_feat" and found.shape[1] == len(ATOM) else None
    parts = []
    for number, column in enumerate(found.T):
        size, least = known[number] if known else (int(column.max() - column.min()) + 1, int(column.min()))
        parts.append(F.one_hot((column - least).clamp(0, size - 1), size).float())
    return torch.cat(parts, 1)


def edge_features(arrays: Mapping[str, Tensor]) -> Tensor | None:
    """``float[E, A]``: bonds as one of their orders, then features, then weights."""
    parts = []
    for name in ("edge_feat", "edge_attr", "edge_weight"):
        if name not in arrays:
            continue
        found = arrays[name] if arrays[name].dim() > 1 else arrays[name][:, None]
        bonds = name == "edge_feat" and not found.is_floating_point()
        if bonds and bool(torch.isin(found[:, 0], torch.tensor(ORDERS)).all()):
            found = torch.cat((torch.stack([found[:, 0] == kind for kind in ORDERS], 1), found[:, 1:]), 1)
        parts.append(found.float())
    return torch.cat(parts, 1) if parts else None


def linked(edges: Tensor, attr: Tensor | None, total: int) -> tuple[Tensor, Tensor | None]:
    """Edges without loops and duplicates, sorted by target, then source, in both directions."""
    kept = edges[0] != edges[1]
    edges, attr = single(edges[:, kept], None if attr is None else attr[kept], total)
    codes = edges[1] * total + edges[0]
    if settings()["undirected"] and not torch.equal((edges[0] * total + edges[1]).sort()[0], codes):
        twice = None if attr is None else torch.cat((attr, attr))
        return single(torch.cat((edges, edges.flip(0)), 1), twice, total)
    return edges, attr


def single(edges: Tensor, attr: Tensor | None, total: int) -> tuple[Tensor, Tensor | None]:
    """Edges sorted, the first of equals alone."""
    codes, order = (edges[1] * total + edges[0]).sort(stable=True)
    first = torch.ones(len(codes), dtype=torch.bool)
    first[1:] = codes[1:] != codes[:-1]
    kept = order[first]
    return edges[:, kept], None if attr is None else attr[kept]
