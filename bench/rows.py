"""Every recipe of a domain once on real data, as the command line trains and probes it: one table a domain.

    python bench/rows.py vision --minutes 1 --seeds 0,1,2
    python bench/rows.py graph --recipes grace,d_sla
    python bench/rows.py --write

Each row is a run of ``unlabeled DOMAIN pretrain RECIPE`` in its own process with one thread and nothing changed but
its length, as many steps as fit ``--minutes`` of CPU time, beside its own untrained encoder and the domain's baselines
without a model. Rows are kept in ``results/rows/DOMAIN.json`` as they come; those that are there already are not run
again (``--again``). ``--write`` makes ``ROWS.md`` of all that were found. A recipe that needs another's run has it as a
first stage of the same budget.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import HERE, RESULTS, machine, table

# data of a recipe: the first is the domain's, the others are for the recipes that are named
SHORT = (2, 10)  # steps of the runs that tell what one costs
LONG = ("--epochs", "1000000")  # a recipe's own would end a run of few samples first
NODES, MOLECULES, PROTEINS = "cora", "bbbp", "proteins"
GRAPHS = ("d_sla", "graphcl", "infograph", "graph_clip")
SENTENCES = ("ct", "denosent", "sent2vec", "simclr", "simcse", "simcse_spans", "tsdae")
DATA: dict[str, dict[str, Sequence[str] | None]] = {
    "vision": {"digits": None, "cifar10": None},
    "audio": {"fsdd": None},
    "text": {"agnews": None, "stsb": SENTENCES},
    "graph": {NODES: None, MOLECULES: GRAPHS, PROTEINS: GRAPHS},
    "medical3d": {"adrenal": None},
}
FIRST = {
    "audio": {"atst_both": ("atst_clip", "objective.run"), "unfused": ("vicreg", "objective.run")},
}


# ------------------------------------------------------------------------------------------------- data


def flags_of(name: str, shared: Path, scratch: Path) -> list[str]:
    """What a command is given to read a data set by its name."""
    if name == "digits":
        return ["--data", "digits"]
    if name == "cifar10":
        return ["--data", str(shared / "vision" / "cifar10" / "cifar10.zip"), "--data.size", "32"]
    if name == "fsdd":
        return ["--data", str(shared / "audio" / "fsdd" / "meta.csv"), "--data.label", "digit", "--data.seconds", "0.8"]
    if name in ("agnews", "stsb"):
        return ["--data", str(texts(shared / "text" / name, scratch / f"{name}.csv"))]
    if name == "adrenal":
        return ["--data", str(adrenal(shared / "medical3d" / "adrenalmnist3d", scratch / "adrenal_32.npz"))]
    folder = {NODES: "cora", MOLECULES: "molecules", PROTEINS: "tudataset"}[name]
    return ["--data", str(shared / "graph" / folder / f"{name}.npz")]


def texts(folder: Path, out: Path) -> Path:
    """5,000 lines of train and 1,000 of test in one table with a column ``split``."""
    import csv

    with out.open("w", newline="", encoding="utf-8") as file:
        writer = None
        for side in ("train", "test"):
            lines = (folder / f"{side}.tsv").read_text(encoding="utf-8").splitlines()
            head, *rows = [line.split("\t") for line in lines]
            if writer is None:
                writer = csv.writer(file)
                writer.writerow([*head, "split"])
            writer.writerows([*row, side] for row in rows[: 1000 if side == "test" else 5000])
    return out


def adrenal(folder: Path, out: Path) -> Path:
    """AdrenalMNIST3D averaged to 32^3."""
    import numpy as np

    found = np.load(folder / "adrenalmnist3d_64.npz")
    parts = {}
    for name in found.files:
        x = found[name]
        if name.endswith("images"):
            x = x.reshape(len(x), 32, 2, 32, 2, 32, 2).mean((2, 4, 6)).round().astype(np.uint8)
        parts[name] = x
    np.savez(out, **parts)
    return out


# ------------------------------------------------------------------------------------------------- a row


def unlabeled(*words: str) -> tuple[float, str]:
    """CPU seconds of a command, and what it said last; a command that fails says why."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "unlabeled", *words], capture_output=True, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def train(words: list[str], minutes: float, out: Path) -> float:
    """CPU seconds of a run of as many steps as fit the budget, by two short runs, so that starting up is no step."""
    cpu = []
    for steps in SHORT:
        cpu.append(unlabeled(*words, "--steps", str(steps), "--out", str(out))[0])
        shutil.rmtree(out)
    a_step = max((cpu[1] - cpu[0]) / (SHORT[1] - SHORT[0]), 1e-3)
    return unlabeled(*words, "--steps", str(max(1, int(60 * minutes / a_step))), *LONG, "--out", str(out))[0]


def run_row(domain: str, recipe: str, data: list[str], seed: int, minutes: float, scratch: Path) -> dict[str, Any]:
    """Train, probe, and read the numbers."""
    more: list[str] = []
    length = ["--seed", str(seed), "--workers", "0"]
    if recipe in FIRST.get(domain, {}):
        name, flag = FIRST[domain][recipe]
        train([domain, "pretrain", name, *data, *length], minutes, scratch / "first")
        more = [f"--{flag}", str(scratch / "first")]
    run = scratch / "run"
    cpu = train([domain, "pretrain", recipe, *data, *more, *length], minutes, run)
    last = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    unlabeled(domain, "probe", str(run), "--seeds", str(seed), *probes_of(domain, data))
    found = json.loads((run / "probes.json").read_text(encoding="utf-8"))
    rows = {row["name"] if row["kind"] == "no model" else row["kind"]: row["numbers"] for row in found["rows"]}
    numbers = {who: {key: number["values"][0] for key, number in row.items()} for who, row in rows.items()}
    return {"cpu_s": round(cpu, 1), "steps": last["step"], "loss": last["loss"], "numbers": numbers,
            "specs": found["specs"]}  # fmt: skip


def probes_of(domain: str, data: Sequence[str]) -> list[str]:
    """The probes that are asked of a table; their names stand beside its columns."""
    if any("stsb" in word for word in data):
        return []
    more = {"graph": ",public"} if NODES in data[1] else {}
    return ["--probes", "knn,linear" + more.get(domain, "")]


# ------------------------------------------------------------------------------------------------- the table


def file_of(domain: str) -> Path:
    return RESULTS / "rows" / f"{domain}.json"


def kept(domain: str) -> dict[str, Any]:
    path = file_of(domain)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}


def measure(domain: str, recipes: Sequence[str], seeds: Sequence[int], minutes: float, shared: Path,
            sets: Sequence[str], again: bool) -> None:  # fmt: skip
    """Rows that are not there yet, seed by seed, so that every recipe has one before any has two."""
    with tempfile.TemporaryDirectory() as folder:
        flags = {name: flags_of(name, shared, Path(folder)) for name in DATA[domain] if not sets or name in sets}
        for seed in seeds:
            for name, of in ((name, DATA[domain][name]) for name in flags):
                first = next(iter(DATA[domain])) == name
                grouped = {recipe for others in DATA[domain].values() if others for recipe in others}
                alone = GRAPHS if domain == "graph" else ()
                for recipe in recipes:
                    if (of is not None and recipe not in of) or (first and recipe in grouped and recipe in alone):
                        continue
                    key = f"{name} {recipe} {seed} {minutes:g}"
                    if key in kept(domain)["rows"] and not again:
                        continue
                    with tempfile.TemporaryDirectory() as scratch:
                        try:
                            row = run_row(domain, recipe, flags[name], seed, minutes, Path(scratch))
                        except RuntimeError as error:
                            row = {"error": str(error)}
                    keep(domain, key, {"data": name, "recipe": recipe, "seed": seed, "minutes": minutes, **row})


def keep(domain: str, key: str, row: Mapping[str, Any]) -> None:
    found = kept(domain)
    found["rows"][key] = dict(row)
    file_of(domain).parent.mkdir(exist_ok=True)
    command = f"python bench/rows.py {domain}"
    text = json.dumps({"command": command, "machine": machine(), "rows": dict(sorted(found["rows"].items()))}, indent=1)
    file_of(domain).write_text(text + "\n", encoding="utf-8")
    print(key, {k: v for k, v in row.items() if k in ("cpu_s", "steps", "error")}, flush=True)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers that the table shows: accuracies and correlations of the pre-trained rows, two at most."""
    keys = list(dict.fromkeys(key for row in rows for key in row["numbers"].get("pre-trained", {})))
    wanted = ("public.accuracy", "knn.10", "knn.all", "linear.all", "similarity", "linear")
    ordered = [key for word in wanted for key in keys if key.startswith(word) and "f1" not in key]
    return list(dict.fromkeys(ordered))[:2]


def shown(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def verdict(row: Sequence[float], untrained: Sequence[float], best: float) -> str:
    """Where the pre-trained encoder stands; by two deviations of the untrained one where there are seeds."""
    mean, base = statistics.mean(row), statistics.mean(untrained)
    spread = 2 * max(statistics.stdev(untrained), statistics.stdev(row)) if len(row) > 1 else 0.0
    said = "above untrained" if mean - base > spread else "below untrained" if base - mean > spread else "as untrained"
    return said + (", below a baseline" if mean < best else "")


def written(domain: str) -> str:
    """The table of each data set of a domain."""
    rows = list(kept(domain)["rows"].values())
    parts = [f"## {domain}"]
    for name in dict.fromkeys(row["data"] for row in rows):
        good = [row for row in rows if row["data"] == name and "error" not in row]
        columns = columns_of(good)
        baselines = {who for row in good for who in row["numbers"]} - {"pre-trained", "untrained", "chance"}
        if not columns:
            continue
        free = {who: [[v["numbers"][who][c] for v in good if c in v["numbers"].get(who, {})] for c in columns]
                for who in ("chance", *sorted(baselines))}  # fmt: skip
        lines = [[who, "", "", *[shown(sorted(set(values))[-1:]) for values in by], ""] for who, by in free.items()]
        for recipe in sorted({row["recipe"] for row in good}):
            own = [row for row in good if row["recipe"] == recipe]
            cells, said = [], ""
            for place, column in enumerate(columns):
                two = [[row["numbers"].get(w, {}).get(column) for row in own] for w in ("pre-trained", "untrained")]
                after, before = ([value for value in values if value is not None] for values in two)
                cells.append(f"{shown(after)} ({shown(before)})")
                best = max((max(free[who][place], default=0.0) for who in baselines), default=0.0)
                if place == 0 and after and before:
                    said = verdict(after, before, best)
            budget = f"{own[0]['minutes']:g} min, {len(own)} seed{'s' * (len(own) > 1)}"
            lines.append([recipe, budget, f"{statistics.mean(row['steps'] for row in own):.0f}", *cells, said])
        failed = [f"{row['recipe']}: {row['error']}" for row in rows if row["data"] == name and "error" in row]
        parts += [f"### {name}", table(["row", "budget", "steps", *columns, "by the first column"], lines)]
        parts += [f"Did not run: {'; '.join(failed)}."] if failed else []
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", nargs="?", choices=list(DATA))
    parser.add_argument("--shared", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--minutes", type=float, default=1.0, help="of CPU time, of a run and of its first stage")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--recipes", default="")
    parser.add_argument("--sets", default="")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if args.domain:
        from unlabeled.config.recipes import recipe_files

        recipes = args.recipes.split(",") if args.recipes else list(recipe_files(args.domain))
        sets = [name for name in args.sets.split(",") if name]
        seeds = [int(seed) for seed in args.seeds.split(",")]
        measure(args.domain, recipes, seeds, args.minutes, args.shared, sets, args.again)
    if args.write:
        head = "# Rows\n\nMade by `python bench/rows.py --write` from `results/rows/*.json`: pre-trained (untrained)."
        found = [written(domain) for domain in DATA if kept(domain)["rows"]]
        (HERE / "ROWS.md").write_text("\n\n".join([head, *found]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
