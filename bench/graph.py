"""Graphs: published numbers beside their baselines, and speed beside plain PyG modules.

``--only NAME,NAME`` measures some rows; rows that were measured before stay in the file, each with its own command.
Quality: each recipe as it stands, trained by the parts that ``unlabeled graph pretrain`` trains, probed by the frozen
specs. Speed: both sides in one run, in turn, medians of CPU seconds an epoch.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, arguments, child, in_turn, machine, median
from torch import nn

from unlabeled.build import build, build_data, build_encoder, construct, trainable
from unlabeled.config import RunConfig, merge, resolve
from unlabeled.contract import Progress, View
from unlabeled.probes.embedding import calibrate, has_running_statistics
from unlabeled.recipes import load_recipe
from unlabeled.training.optimizers import parameter_groups

NODE_ROWS: dict[str, tuple[str, str, dict[str, Any], float]] = {
    # name: data, recipe, changes, the least that the issue asks for (0 = the bound is relative)
    "cora cca_ssg": ("cora/cora.npz", "cca_ssg", {}, 83.5),
    "cora dgi": ("cora/cora.npz", "dgi", {}, 82.0),
    "cora grace": ("cora/cora.npz", "grace", {}, 81.9),
    "cora bgrl": ("cora/cora.npz", "bgrl", {}, 0.0),
    "cora mvgrl": ("cora/cora.npz", "mvgrl", {}, 0.0),
    "cora graphmae": ("cora/cora.npz", "graphmae", {}, 84.0),
    "photo bgrl": ("amazon_photo/amazon_photo.npz", "bgrl", {}, 92.5),
}
GRAPH_CHANGES: dict[str, dict[str, Any]] = {
    "infograph": {"training": {"batch_size": 128, "epochs": 20}},
    "graphcl": {"training": {"batch_size": 128, "epochs": 20}},
    "graphmae": {
        "encoder": {"name": "gin", "width": 128, "depth": 2, "jump": "cat", "pool": "sum"},
        "decoder": {"name": "gin"},
        "objective": {"power": 1.0},
        "training": {"batch_size": 32, "epochs": 20},
    },
}
GRAPH_ROWS = {
    f"{data} {recipe}": (folder + data + ".npz", recipe)
    for data, folder in (("mutag", "tudataset/"), ("proteins", "tudataset/"), ("nci1", "tudataset/"),
                         ("bbbp", "molecules/"), ("bace", "molecules/"))
    for recipe in GRAPH_CHANGES
}  # fmt: skip


# ---------------------------------------------------------------------------------------------- training


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
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(config.component("optimizer"), config.parts["optimizer"].settings, {"groups": groups})
    rate: Any = construct(config.component("schedule"), config.parts["schedule"].settings, {"steps": steps})
    base = [group["lr"] for group in optimizer.param_groups]
    torch.manual_seed(config.training.seed)
    start, step = time.process_time(), 0
    for epoch in range(config.training.epochs):
        order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(epoch))]
        order = pool if size == len(pool) else order
        for ids in order[: count * size].split(size):
            with torch.no_grad():
                views = parts.prepare(data.__getitems__(ids.tolist()), config.training.seed, epoch)
            loss = parts.objective(parts.encoder, views)
            optimizer.zero_grad()
            loss.total.backward()
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * rate(step)
            optimizer.step()
            step += 1
            parts.objective.after_step(parts.encoder, Progress(step, steps))
            say(step, float(loss.total))
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


# ---------------------------------------------------------------------------------------------- nodes


def node_scores(x: torch.Tensor, data: Any, seed: int) -> dict[str, float]:
    """Accuracy in % on the public split, where there is one, and on random split ``seed``."""
    from unlabeled_graph.probes.nodes import PublicSplit, RandomSplit

    found = {"random": 100 * RandomSplit().score(x, data, seed)}
    public = PublicSplit()
    return ({"public": 100 * public.score(x, data)} if public.applies(data) else {}) | found


def node_baselines(data: Any, seeds: int) -> dict[str, dict[str, list[float]]]:
    from unlabeled_graph.baselines import Propagated, RawFeatures

    rows: dict[str, dict[str, list[float]]] = {}
    for name, baseline in (("raw features", RawFeatures()), ("A^2 X", Propagated(data.spec))):
        x = features(baseline, data)
        gather_scores(rows.setdefault(name, {}), [node_scores(x, data, seed) for seed in range(seeds)])
    y = data.all_labels
    rows["majority"] = {"all": [100 * float((y == y.mode().values).float().mean())]}
    return rows


def gather_scores(into: dict[str, list[float]], found: list[dict[str, float]]) -> None:
    for scores in found:
        for name, value in scores.items():
            into.setdefault(name, []).append(value)


def node_row(name: str, shared: Path, seeds: int, epochs: int) -> dict[str, Any]:
    path, recipe, changes, least = NODE_ROWS[name]
    if epochs:
        changes = {**changes, "training": {"epochs": epochs}}
    data = build_data(config_of(recipe, shared / "graph" / path, changes, 0))
    row: dict[str, Any] = {"name": name, "recipe": recipe, "least": least, "rows": node_baselines(data, seeds)}
    ours: dict[str, list[float]] = {}
    fresh: dict[str, list[float]] = {}
    seconds = []
    for seed in range(seeds):
        config = config_of(recipe, shared / "graph" / path, changes, seed)
        gather_scores(fresh, [node_scores(untrained(config, data, seed), data, seed)])
        parts = build(config, data)
        seconds.append(pretrain(parts))
        scores = node_scores(features(parts.encoder, data), data, seed)
        print(name, seed, {k: round(v, 2) for k, v in scores.items()}, f"{seconds[-1]:.0f} cpu-s", flush=True)
        gather_scores(ours, [scores])
        row["rows"] |= {"untrained": fresh, "pre-trained": ours}
        row |= {"cpu_s": median(seconds), "seeds": seed + 1, "epochs": parts.config.training.epochs}
        keep("graph_nodes", row)  # after each seed, so that a run that is stopped is not lost
    return row


# ---------------------------------------------------------------------------------------------- graphs


def graph_score(x: torch.Tensor, data: Any, seed: int) -> float:
    """ROC-AUC in % on the scaffold split where the data bring one, else the mean accuracy of ten folds."""
    from unlabeled_graph.probes.graphs import GRID, auc, fold_scores

    y = data.all_labels
    if data.test is not None:
        part = data.split()
        return 100 * auc(x, y, part.train, part.test)
    scores = fold_scores(x.double().numpy(), y.numpy(), folds=10, inner=5, seed=seed, grid=GRID)
    return 100 * statistics.mean(scores)


def ecfp(path: Path) -> torch.Tensor:
    """Morgan fingerprints of radius 2 from the SMILES beside the graphs: what chemists start from."""
    import csv

    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    with path.with_suffix(".csv").open() as file:
        rows = [make.GetFingerprintAsNumPy(Chem.MolFromSmiles(row["smiles"])) for row in csv.DictReader(file)]
    return torch.tensor([row.tolist() for row in rows], dtype=torch.float32)


def graph_baselines(data: Any, path: Path, seeds: int) -> dict[str, list[float]]:
    from unlabeled_graph.baselines import Counts, WeisfeilerLehman

    y = data.all_labels
    rows = {"majority": [50.0 if data.test is not None else 100 * float((y == y.mode().values).float().mean())]}
    found = {"counts": features(Counts(), data), "WL labels": features(WeisfeilerLehman(data.spec), data)}
    if path.parent.name == "molecules":
        found["ECFP4"] = ecfp(path)
    for name, x in found.items():
        rows[name] = [graph_score(x, data, seed) for seed in range(1 if data.test is not None else seeds)]
    return rows


def graph_row(name: str, shared: Path, seeds: int, epochs: int) -> dict[str, Any]:
    """A data set and a recipe: every baseline, the untrained encoder and the pre-trained one, by seed."""
    file, recipe = GRAPH_ROWS[name]
    path = shared / "graph" / file
    changes = GRAPH_CHANGES[recipe]
    if epochs:
        changes = {**changes, "training": {**changes["training"], "epochs": epochs}}
    data = build_data(config_of(recipe, path, changes, 0))
    rows: dict[str, list[float]] = graph_baselines(data, path, seeds)
    rows |= {"untrained": [], "pre-trained": []}
    seconds = []
    for seed in range(seeds):
        config = config_of(recipe, path, changes, seed)
        rows["untrained"].append(graph_score(untrained(config, data, seed), data, seed))
        parts = build(config, data)
        seconds.append(pretrain(parts))
        rows["pre-trained"].append(graph_score(features(parts.encoder, data), data, seed))
        print(name, seed, {k: round(v[-1], 2) for k, v in rows.items()}, flush=True)
        row = {"name": name, "recipe": recipe, "rows": rows, "cpu_s": median(seconds), "seeds": seed + 1}
        keep("graph_graphs", row)
    return row


# ---------------------------------------------------------------------------------------------- speed


def ours(recipe: str, path: Path, changes: Mapping[str, Any], ids: list[int] | None = None) -> Callable[[], float]:
    """CPU seconds of one step: views, loss, gradients, Adam, and what follows a step."""
    config = config_of(recipe, path, changes, 0)
    parts = build(config)
    parts.encoder.train()
    parts.objective.train()
    groups = parameter_groups(parts.encoder, parts.objective)
    optimizer: Any = construct(config.component("optimizer"), config.parts["optimizer"].settings, {"groups": groups})
    ids = list(range(len(parts.data))) if ids is None else ids
    count = 0

    def step() -> float:
        nonlocal count
        start = time.process_time()
        with torch.no_grad():
            views = parts.prepare(parts.data.__getitems__(ids), 0, count)
        loss = parts.objective(parts.encoder, views)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        count += 1
        parts.objective.after_step(parts.encoder, Progress(count, 1000))
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


def speed(shared: Path, rounds: int) -> None:
    """Every comparison, both sides in turn; the first round of each is not counted."""
    from graph_plain import dgi, graphmae, infograph

    cora, proteins = shared / "graph" / "cora" / "cora.npz", shared / "graph" / "tudataset" / "proteins.npz"
    part = list(range(128))
    pairs = {
        "DGI, Cora, an epoch": ("dgi", cora, {}, None, dgi, 1.5),
        "InfoGraph, PROTEINS, a batch of 128": (
            "infograph",
            proteins,
            GRAPH_CHANGES["infograph"],
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
    found = child(Path(__file__), "--one", str(nodes), str(chunk))
    row = {"name": f"InfoNCE, {nodes:,} nodes, chunks of {chunk:,}", **found, "dense_mb": 6 * nodes**2 * 4 / 2**20}
    print(row, flush=True)
    keep("graph_memory", row)


def one(nodes: int, chunk: int) -> dict[str, float]:
    from unlabeled.heads import unit
    from unlabeled.objectives.infonce import nt_xent

    def step(count: int) -> float:
        start = time.process_time()
        views = [torch.randn(count, 128, requires_grad=True) for _ in range(2)]
        nt_xent(unit(views[0]), unit(views[1]), 0.4, chunk=chunk).backward()
        return time.process_time() - start

    step(64)  # loads kernels before the first reading
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = step(nodes)
    return {"mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, "seconds": seconds}


# ---------------------------------------------------------------------------------------------- results


def keep(file: str, row: Mapping[str, Any]) -> None:
    """Put a row into ``results/FILE.json``, in the place of an older one of its name."""
    path = RESULTS / f"{file}.json"
    found = json.loads(path.read_text()) if path.exists() else {"rows": []}
    rows = [other for other in found["rows"] if other["name"] != row["name"]] + [dict(row)]
    RESULTS.mkdir(exist_ok=True)
    whole = {"command": "python bench/graph.py", "machine": machine(), "rows": rows}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def show(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def main() -> None:
    args = arguments(__doc__ or "", only="", seeds=5, epochs=0, rounds=3)
    torch.set_num_threads(1)
    wanted = [name.strip() for name in args.only.split(",") if name.strip()]
    for name in wanted or [*NODE_ROWS, *GRAPH_ROWS, "speed", "memory"]:
        if name == "speed":
            speed(args.data, args.rounds)
        elif name == "memory":
            memory()
        elif name in GRAPH_ROWS:
            graph_row(name, args.data, args.seeds, args.epochs)
        elif name in NODE_ROWS:
            row = node_row(name, args.data, args.seeds, args.epochs)
            for kind, numbers in row["rows"].items():
                print(f"{name:16} {kind:14}", {k: show(v) for k, v in numbers.items()})
        else:
            raise SystemExit(f"no row {name!r}; rows: {', '.join([*NODE_ROWS, *GRAPH_ROWS])}, speed, memory")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        torch.set_num_threads(1)
        print(json.dumps(one(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
