"""What the measurements of graphs share: a recipe as a config, its training without callbacks, and frozen features."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, machine
from torch import nn

from unlabeled.build import build_encoder, trainable
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import RunConfig, merge, resolve
from unlabeled.contract import Progress, View
from unlabeled.nn.clock import after_step
from unlabeled.probes.embedding import calibrate, has_running_statistics
from unlabeled.training.optimizers import set_rate


def config_of(recipe: str, data: Path, changes: Mapping[str, Any], seed: int) -> RunConfig:
    raw = merge(load_recipe("graph", recipe), {"data": {"path": str(data)}, "training": {"seed": seed}})
    for part, settings in changes.items():
        raw = merge(raw, {part: settings})
    return resolve(raw, "graph")


def pretrain(parts: Any, say: Callable[[int, float], None] = lambda step, loss: None) -> float:
    """Train as the product does, without its callbacks; CPU seconds."""
    config, data = parts.config, parts.data
    size, pool = config.training.batch_size, trainable(data)
    count = len(pool) // size
    steps = config.training.epochs * count
    parts.encoder.train()
    parts.objective.train()
    optimizer, rate = parts.optimizer(steps)
    torch.manual_seed(config.training.seed)
    start, step = time.process_time(), 0
    for epoch in range(config.training.epochs):
        order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(epoch))]
        order = pool if size == len(pool) else order
        for ids in order[: count * size].split(size):
            loss = parts.loss(data.__getitems__(ids.tolist()), epoch)
            optimizer.zero_grad()
            loss.total.backward()
            set_rate(optimizer, rate(step), step / steps)
            optimizer.step()
            step += 1
            after_step(parts.objective, parts.encoder, Progress(step, steps))
            say(step, loss.total.item())
    return time.process_time() - start


def features(encoder: Any, data: Any, size: int = 512) -> torch.Tensor:
    """Of every sample, from the clean view."""
    if isinstance(encoder, nn.Module):
        encoder.eval()
    size = len(data) if data.spec.level == "node" else size
    found = []
    with torch.no_grad():
        for ids in torch.arange(len(data)).split(size):
            out = encoder(View(data.__getitems__(ids.tolist()), "clean"))
            found.append(out if isinstance(out, torch.Tensor) else out.pooled)
    return torch.cat(found)


def untrained(config: RunConfig, data: Any, seed: int) -> torch.Tensor:
    encoder = build_encoder(config.with_training(seed=1000 + seed), data.spec)
    if has_running_statistics(encoder):
        batch = data.__getitems__(range(min(len(data), 512)) if data.spec.level == "graph" else range(len(data)))
        calibrate(encoder, lambda b: encoder(View(b, "clean")), iter([batch]))
    return features(encoder, data)


def keep(file: str, row: Mapping[str, Any]) -> None:
    """Put a row into ``results/FILE.json``, in the place of an older one of its name."""
    path = RESULTS / f"{file}.json"
    found = json.loads(path.read_text()) if path.exists() else {"rows": []}
    rows = [other for other in found["rows"] if other["name"] != row["name"]] + [dict(row)]
    RESULTS.mkdir(exist_ok=True)
    whole = {"command": "python bench/graph.py", "machine": machine(), "rows": rows}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
