"""Graphs of views drawn as a PNG, a row for each sample, the clean graph first.

Nodes are placed once for each sample, by a few rounds of springs, so that views can be compared; of a large graph the
surroundings of the sample are drawn. A node's color is its group of features, the sample itself is ringed.

    # n samples, T rows, K drawn nodes, E edges
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unlabeled.contract import View, Views
from unlabeled.draw import Draw, Purpose
from unlabeled.report.pictures import grid, preview
from unlabeled_graph.batch import GraphBatch
from unlabeled_graph.ops.sampling import expand
from unlabeled_graph.ops.sparse import dense, take
from unlabeled_graph.views.edits import pattern_of
from unlabeled_graph.views.standard import Clean

CELL = 160  # side of a cell in pixels
MOST = 40  # nodes that are drawn
ROUNDS = 60
COLORS = ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#9c755f")


def preview_views(data: Any, views: Views, out_png: str | Path, *, n: int = 4, seed: int = 0) -> Path:
    """Write the views of n samples, spread over the data set, as they are in the first epoch of a run with ``seed``.

    Args:
        n: number of samples, at least 1.
        seed: of the run.
    """
    return preview(data, Clean(data.spec), views, out_png, picture, n=n, seed=seed)


def picture(views: list[View]) -> Image.Image:
    """Columns of graphs; the places of a sample's nodes are those of its first view."""
    source: Any = views[0].batch
    shown = [surroundings(source, sample) for sample in range(len(source))]
    places = [springs(source, rows) for rows in shown]
    cells = [[drawn(view, source, s, rows, places[s]) for s, rows in enumerate(shown)] for view in views]
    return grid(views, cells, (CELL, CELL))


def surroundings(batch: GraphBatch, sample: int) -> Tensor:
    """``int64[K]``: rows of the sample's graph, the nearest to it where there are too many."""
    if batch.seeds is None:
        start, end = batch.layout.offsets[sample : sample + 2]
        return torch.arange(start, min(end, start + MOST))
    found = batch.seeds[sample : sample + 1]
    while len(found) < MOST:
        more = torch.cat((found, expand(pattern_of(batch), found)[1])).unique()
        if len(more) == len(found):
            break
        found = torch.cat((found, more[~torch.isin(more, found)]))
    return found[:MOST].sort().values


def springs(batch: GraphBatch, rows_K: Tensor) -> np.ndarray:
    """``float[K, 2]`` in [0, 1]: neighbors pull, all push."""
    start = Draw(0, 0, torch.arange(len(rows_K))).uniform(2, Purpose.CROP_PLACE).numpy().astype(np.float64)
    place = {row: number for number, row in enumerate(rows_K.tolist())}
    pairs = [(place[a], place[b]) for a, b in batch.edges.T.tolist() if a in place and b in place]
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    at, pull = start, 1.0 / np.sqrt(max(1, len(rows_K)))
    for turn in range(ROUNDS):
        apart = at[:, None] - at[None]
        far = np.maximum(np.linalg.norm(apart, axis=2, keepdims=True), 1e-3)
        move = (apart / far * pull**2 / far).sum(1)
        along = at[ends[:, 0]] - at[ends[:, 1]]
        force = along * np.linalg.norm(along, axis=1, keepdims=True) / pull
        np.add.at(move, ends[:, 0], -force)
        length = np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9)
        at = at + move / length * np.minimum(length, 0.1 * (1 - turn / ROUNDS))
    low, high = at.min(0), at.max(0)
    out: np.ndarray = (at - low) / np.maximum(high - low, 1e-9)
    return out


def drawn(view: View, source: GraphBatch, sample: int, rows: Tensor, place: np.ndarray) -> Image.Image:
    """One cell: of the rows that are still there, edges, then nodes."""
    cell = Image.new("RGB", (CELL, CELL), "white")
    pen = ImageDraw.Draw(cell)
    batch: Any = view.batch
    origin = batch.layout.within if view.origin is None else view.origin
    origin = origin + torch.tensor(source.layout.offsets)[batch.group]
    at = {row: place[number] for number, row in enumerate(rows.tolist())}
    spot = {
        now: (8 + at[was][0] * (CELL - 16), 8 + at[was][1] * (CELL - 16))
        for now, was in enumerate(origin.tolist())
        if was in at
    }
    for a, b in batch.edges.T.tolist():
        if a in spot and b in spot:
            pen.line((*spot[a], *spot[b]), fill="#bbbbbb")
    content = dense(take(batch.x if view.swap is None else take(batch.x, view.swap), torch.tensor(sorted(spot))))
    kinds = torch.where(content.abs().sum(1) == 0, -1, content.argmax(1) % len(COLORS)).tolist()
    seed = None if source.seeds is None else int(source.seeds[sample])
    for now, kind in zip(sorted(spot), kinds):
        x, y = spot[now]
        ring = "black" if int(origin[now]) == seed else None
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill="white" if kind < 0 else COLORS[kind], outline=ring)
    return cell
