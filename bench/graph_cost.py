"""What graph methods cost: speed beside plain PyG modules, both sides in turn, and memory of InfoNCE over all nodes."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from common import child, in_turn, median, peak
from graph_train import config_of, keep
from torch import nn

from unlabeled.build import build, build_data
from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step


def ours(recipe: str, path: Path, changes: Mapping[str, Any], ids: list[int] | None = None) -> Callable[[], float]:
    """CPU seconds of one step: views, loss, gradients, Adam, and what follows a step."""
    parts = build(config_of(recipe, path, changes, 0))
    parts.encoder.train()
    parts.objective.train()
    optimizer, _ = parts.optimizer(1000)
    ids = list(range(len(parts.data))) if ids is None else ids
    count = 0

    def step() -> float:
        nonlocal count
        start = time.process_time()
        loss = parts.loss(parts.data.__getitems__(ids), count)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        count += 1
        after_step(parts.objective, parts.encoder, Progress(count, 1000))
        return time.process_time() - start

    return step


def plain(model: nn.Module, loss: Callable[[], torch.Tensor], decay: float = 0.0) -> Callable[[], float]:
    """The same of plain modules."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=decay)

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        return time.process_time() - start

    return step


def speed(shared: Path, rounds: int, infograph_changes: Mapping[str, Any]) -> None:
    """Every comparison, both sides in turn; the first round of each is not counted."""
    from graph_plain import dgi, graphmae, infograph

    cora, proteins = shared / "graph" / "cora" / "cora.npz", shared / "graph" / "tudataset" / "proteins.npz"
    part = list(range(128))
    pairs = {
        "DGI, Cora, an epoch": ("dgi", cora, {}, None, dgi, 1.5),
        "InfoGraph, PROTEINS, a batch of 128": (
            "infograph",
            proteins,
            infograph_changes,
            part,
            infograph,
            1.5,
        ),
        "GraphMAE, Cora, an epoch": ("graphmae", cora, {}, None, graphmae, 0.0),
    }
    for name, (recipe, path, changes, ids, other, least) in pairs.items():
        data = build_data(config_of(recipe, path, changes, 0))
        batch = data.__getitems__(range(len(data)) if ids is None else ids)
        sides = {"ours": ours(recipe, path, changes, ids), "plain": plain(*other(batch))}
        in_turn(sides, 1)
        found = {side: median(values) for side, values in in_turn(sides, rounds).items()}
        row = {"name": name, **found, "ratio": found["plain"] / found["ours"], "least": least}
        print(row, flush=True)
        keep("graph_speed", row)


def memory(nodes: int = 20_000, chunk: int = 1024) -> None:
    """Peak memory of GRACE's loss over all nodes, forward and backward, in a fresh process."""
    found = child(Path(__file__), str(nodes), str(chunk))
    row = {"name": f"InfoNCE, {nodes:,} nodes, chunks of {chunk:,}", **found, "dense_mb": 6 * nodes**2 * 4 / 2**20}
    print(row, flush=True)
    keep("graph_memory", row)


def one(nodes: int, chunk: int) -> dict[str, float]:
    from unlabeled.nn.heads import unit
    from unlabeled.nn.infonce import nt_xent

    def step(count: int) -> float:
        start = time.process_time()
        views = [torch.randn(count, 128, requires_grad=True) for _ in range(2)]
        nt_xent(unit(views[0]), unit(views[1]), 0.4, chunk=chunk).backward()
        return time.process_time() - start

    step(64)  # loads kernels before the first reading
    before = peak()
    seconds = step(nodes)
    return {"mb": peak() - before, "seconds": seconds}


if __name__ == "__main__":  # a fresh process of ``memory``
    torch.set_num_threads(1)
    print(json.dumps(one(int(sys.argv[1]), int(sys.argv[2]))))
