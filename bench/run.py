"""Run every measurement, and write RESULTS.md from the JSON files that they leave in results/.

``--only NAME,NAME`` runs some; ``--write`` runs none and writes the page anew.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from common import HERE, RESULTS, table


def rows_of(**columns: str) -> Callable[[dict[str, Any]], str]:
    """A table whose columns are format strings over a row."""

    def write(found: dict[str, Any]) -> str:
        return table(tuple(columns), [[text.format(**row) for text in columns.values()] for row in found["rows"]])

    return write


def startup(found: dict[str, Any]) -> str:
    text = rows_of(**{"command": "`{command}`", "CPU s": "{cpu_s:.2f}", "wall s": "{wall_s:.2f}"})(found)
    return f"{text}\n\nPublished elsewhere: `lightly-train help` 11.1 CPU s, stable-pretraining's 0.35."


def quality(found: dict[str, Any]) -> str:
    """Probe numbers, each with its deviation over seeds where there are several, and the CPU minutes really used."""
    keys = list(next(r["numbers"] for r in found["rows"] if r["numbers"]))
    rows = []
    for row in found["rows"]:
        used = found["trained"].get(row["row"])
        cells = [number(row["numbers"][key]) for key in keys] if row["numbers"] else ["10.0"] * len(keys)
        rows.append((row["row"], *cells, f"{used['cpu_s'] / 60:.1f}" if used else "", used["steps"] if used else ""))
    specs = "\n".join(f"- {spec}" for spec in found["rows"][0]["specs"])
    return (
        f"{found['encoder']}, batch {found['batch']}, {found['minutes']:g} CPU-minutes a method; accuracy in %, "
        "mean ± deviation over 3 label subsets (of the untrained encoder: 3 initial weights).\n\n"
        + table(("", *keys, "CPU min", "steps"), rows)
        + f"\n\n{specs}"
    )


def graph_nodes(found: dict[str, Any]) -> str:
    """A line for each method and kind of features; public split and random 10 / 10 / 80, in %."""
    rows = []
    for row in found["rows"]:
        for kind, numbers in row["rows"].items():
            scores = [number(numbers[k]) if k in numbers else "" for k in ("public", "random")]
            if kind == "majority":
                scores = [number(numbers["all"]), ""]
            rows.append((row["name"], kind, *scores, row["seeds"] if kind == "pre-trained" else "", row["epochs"]))
    return table(("", "features", "public split", "random 10 / 10 / 80", "seeds", "epochs"), rows)


def graph_graphs(found: dict[str, Any]) -> str:
    """A line for each data set and method; mean and deviation over seeds, in %."""
    kinds = list(dict.fromkeys(kind for row in found["rows"] for kind in row["rows"]))
    lines = [
        (row["name"], *(number(row["rows"][k]) if k in row["rows"] else "" for k in kinds), row["seeds"])
        for row in found["rows"]
    ]
    return table(("", *kinds, "seeds"), lines)


def number(values: list[float]) -> str:
    mean = statistics.mean(values)
    return f"{mean:.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def audio(found: dict[str, Any]) -> str:
    """Speed beside torchaudio and transformers, then numbers on FSDD."""
    rows = []
    for row in found.get("speed", ()):
        gap = "" if row["value_gap"] is None else f"{row['value_gap']:.0e}, {row['gradient_gap']:.0e}"
        memory = f"{row['memory_ratio']:.1f} x" if "memory_ratio" in row else ""
        seconds = (f"{1000 * row[side]:.2f}" for side in ("theirs_s", "ours_s"))
        rows.append((row["what"], f"**{row['ratio']:.1f} x**", f"{row['wanted']} x", *seconds, gap, memory))
    head = ("", "faster", "wanted", "theirs, ms", "ours, ms", "gap of value, gradient", "less peak memory")
    parts = [found["note"]] if "note" in found else []
    parts += [table(head, rows)] if rows else []
    if "numbers" in found:
        keys = list(next(r["numbers"] for r in found["numbers"] if r["numbers"]))
        body = []
        for row in found["numbers"]:
            used = found["trained"].get(row["row"])
            cells = [number(row["numbers"][key]) for key in keys] if row["numbers"] else ["10.0"] * 3 + ["16.7"]
            body.append(
                (row["row"], *cells, f"{used['cpu_s'] / 60:.1f}" if used else "", used["steps"] if used else "")
            )
        parts.append(
            "FSDD: accuracy in %, mean ± deviation over 5 draws of ten clips a digit, over 6 speakers, and over 3 "
            "initial weights of untrained encoders.\n\n" + table(("", *keys, "CPU min", "steps"), body)
        )
    return "\n\n".join(parts)


def audio_recipes(found: dict[str, Any]) -> str:
    """A line for each recipe: ten-shot accuracy untrained and pre-trained, what it was given."""
    sides = "untrained", "pre-trained"
    rows = [
        (
            *(r["row"] + (f", from a run of {r['first']}" if "first" in r else ""), r["encoder"]),
            *(number(r[side][what]) if what in r[side] else "" for what in ("pooled", "layers") for side in sides),
            *(f"{r['cpu_s'] / 60:.1f}", r["steps"]),
        )
        for r in found["rows"]
    ]
    about = (
        "FSDD, ten clips a digit, chance 10 (log-mel statistics 79.6): over 5 draws, and over 3 initial weights of the "
        "untrained encoder. One training seed. Pooled features, and the mean of all layers, each averaged over time."
    )
    heads = ("recipe", "encoder", *sides, *(f"layers, {side}" for side in sides), "CPU min", "steps")
    return about + "\n\n" + table(heads, rows)


def medical3d(found: dict[str, Any]) -> str:
    """Speed beside MONAI, curves of Dice on the hippocampus, areas under the ROC curve on AdrenalMNIST3D."""
    parts = []
    if "speed" in found:
        rows = []
        for row in found["speed"]:
            memory = f"{row['theirs_mb']:.0f}, {row['ours_mb']:.0f}" if "theirs_mb" in row else ""
            seconds = (f"{row[side]:.3f}" for side in ("theirs_s", "ours_s"))
            rows.append((row["what"], f"**{row['ratio']:.1f} x**", f"{row['wanted']} x", *seconds, memory))
        parts.append(
            table(
                ("", "faster", "wanted", "theirs, CPU s", "ours, CPU s", "peak memory above inputs, theirs, ours, MB"),
                rows,
            )
        )
    if "hippocampus" in found:
        rows = []
        counts = sorted({k for row in found["hippocampus"] for by_k in row["scores"].values() for k in by_k}, key=int)
        for row in found["hippocampus"]:
            for kind, by_count in row["scores"].items():
                cells = [number([100 * s["dice"] for s in by_count[k]]) if k in by_count else "" for k in counts]
                used = f"{statistics.mean(row['cpu_s']) / 60:.1f}" if kind == "pre-trained" else ""
                rows.append((row["recipe"], f"{row['steps']} x {row['batch_size']}", kind, *cells, used))
        head = ("recipe", "steps x crops", "encoder", *(f"k = {k}" for k in counts), "CPU min of pre-training")
        about = f"{row['head']} head, {row['test']} test volumes"
        parts.append(f"Hippocampus, mean Dice in % of k labeled volumes; {about}.\n\n{table(head, rows)}")
    if "adrenal" in found:
        lines = [(r["row"], number(r["auc"])) for r in found["adrenal"] if r["auc"]]
        spec = next(r["spec"] for r in found["adrenal"] if "spec" in r)
        parts.append(f"AdrenalMNIST3D at 2 mm, AUC in % ({spec}).\n\n{table(('', 'AUC'), lines)}")
    return "\n\n".join(parts)


def text_quality(found: dict[str, Any]) -> str:
    """A table for each data set: mean and deviation over seeds, with the CPU seconds and steps of a run."""
    tables = []
    for where in dict.fromkeys(row["data"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["data"] == where]
        keys = list(dict.fromkeys(key for row in rows for key in row["numbers"]))
        cells = []
        for row in rows:
            scores = [number(row["numbers"][key]) if key in row["numbers"] else "" for key in keys]
            steps = f"{statistics.mean(row['steps']):.0f}" if any(row["steps"]) else ""
            cells.append((row["row"], *scores, f"{row['seconds']:g}" if any(row["steps"]) else "", steps))
        tables.append(f"{where}\n\n{table(('', *keys, 'CPU s', 'steps'), cells)}")
    encoder = ", ".join(f"{key} {value}" for key, value in found["encoder"].items())
    return (
        f"{found['seeds']} seeds, batch {found['batch']}; {encoder}; in %, mean ± deviation over seeds.\n\n"
        + "\n\n".join(tables)
    )


def text_speed(found: dict[str, Any]) -> str:
    """Rates of ours and of the other side, where there is one."""
    rows = []
    for row in found["rows"]:
        other = [row["theirs"], f"{row['theirs_rate']:.3g}", f"**{row['ratio']:.2f} x**"] if row["theirs"] else [""] * 3
        rows.append((row["case"], f"{row['ours_rate']:.3g}", *other))
    return table(("case", "ours", "beside", "its rate", "ours / it"), rows)


SECTIONS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "paired": (
        "Loss curves beside lightly's modules",
        rows_of(
            **{
                "method": "{method}",
                "steps": "{steps}",
                "greatest relative gap, float64": "{gap:.1e}",
                "the same, float32, first 50": "{gap_float32_50:.1e}",
                "loss": "{first:.4f} -> {last:.4f}",
            }
        ),
    ),
    "throughput": (
        "Images per second, end to end, beside lightly",
        rows_of(
            **{
                "encoder": "{encoder}",
                "pixels": "{size}",
                "ours / lightly": "**{ratio:.2f} x**",
                "ours, images/s": "{ours:.1f}",
                "lightly, images/s": "{lightly:.1f}",
                "batch": "{batch}",
                "workers": "{workers}",
            }
        ),
    ),
    "overhead": (
        "Overhead of the trainer",
        rows_of(
            **{
                "case": "{case}",
                "trainer / by hand, CPU s": "**{cpu_ratio:.3f}**",
                "wall s": "{ratio:.3f}",
                "trainer, CPU s a step": "{cpu_trainer:.4f}",
                "by hand, CPU s a step": "{cpu_by_hand:.4f}",
                "rounds": "{rounds}",
            }
        ),
    ),
    "infonce": (
        "Chunked InfoNCE",
        rows_of(
            **{
                "B": "{batch}",
                "dense / chunked memory": "**{memory_ratio:.1f} x**",
                "chunked / dense time": "**{time_ratio:.2f}**",
                "dense MB": "{dense_mb:.0f}",
                "chunked MB": "{chunked_mb:.0f}",
                "dense s": "{dense_s:.2f}",
                "chunked s": "{chunked_s:.2f}",
            }
        ),
    ),
    "startup": ("Start-up", startup),
    "memory": (
        "Peak memory of default recipes",
        rows_of(
            **{
                "": "{name}",
                "pretrain, MB": "**{pretrain:.0f}**",
                "probe, MB": "**{probe:.0f}**",
                "of it imports, MB": "{imports:.0f}",
            }
        ),
    ),
    "drop": (
        "Encoder time when tokens are dropped",
        rows_of(
            **{
                "model": "{model}",
                "75 % hidden / none hidden": "**{ratio:.2f}**",
                "none hidden, s": "{all_s:.2f}",
                "75 % hidden, s": "{hidden_s:.2f}",
                "batch": "{batch}",
            }
        ),
    ),
    "quality": ("Quality on CIFAR-10 (JPEG)", quality),
    "graph_nodes": ("Nodes: accuracy beside every baseline", graph_nodes),
    "graph_graphs": ("Graphs: accuracy of ten folds, or ROC-AUC of scaffolds", graph_graphs),
    "graph_speed": (
        "Graphs: CPU seconds beside plain PyG modules",
        rows_of(
            **{
                "step": "{name}",
                "plain / ours": "**{ratio:.2f} x**",
                "ours, s": "{ours:.3f}",
                "plain PyG, s": "{plain:.3f}",
            }
        ),
    ),
    "graph_memory": (
        "Graphs: memory of InfoNCE",
        rows_of(**{"": "{name}", "ours, MB": "**{mb:.0f}**", "6 N^2 floats, MB": "{dense_mb:.0f}"}),
    ),
    "audio": ("Audio", audio),
    "audio_recipes": ("Audio: every recipe beside its own untrained encoder", audio_recipes),
    "audio_padding": (
        "Audio: operations spent on padding",
        rows_of(**{"encoder": "{encoder}", "of a batch's operations": "**{share:.2%}**"}),
    ),
    "medical3d": ("Medical 3D", medical3d),
    "text_similarity": ("Text: sentence objectives from scratch", text_quality),
    "text_words": ("Text: word objectives at equal CPU time", text_quality),
    "text_adapt": ("Text: MiniLM continued on sentences of STS-B", text_quality),
    "text_speed": ("Text: collation and steps", text_speed),
}


# sections whose script is called otherwise: its name, and the words that ask for the part; one script may fill several
PARTS: dict[str, tuple[str, ...]] = {
    **{f"text_{part}": ("text", "--only", part) for part in ("similarity", "words", "adapt")},
    "audio_recipes": ("audio", "--only", "recipes"),
    **{f"graph_{part}": ("graph",) for part in ("nodes", "graphs", "speed", "memory")},
}


def commands(sections: Sequence[str]) -> list[tuple[str, ...]]:
    """What to run for these sections: script and words, each once."""
    return list(dict.fromkeys(PARTS.get(name, (name,)) for name in sections))


def page() -> str:
    """RESULTS.md: ratios first, with the command and machine of each measurement."""
    lines = ["# Results", "", "Made by `make bench`. Medians; both sides in one run, in turn.", ""]
    machine = None
    for name, (title, write) in SECTIONS.items():
        file = RESULTS / f"{name}.json"
        if not file.exists():
            continue
        found = json.loads(file.read_text())
        if found["machine"] != machine:
            machine = found["machine"]
            lines += ["Machine: " + ", ".join(f"{k} {v}" for k, v in machine.items()), ""]
        lines += [f"## {title}", "", f"`{found['command']}`", "", write(found), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(HERE.parent.parent / "shared" / "data"))
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if not args.write:
        for script, *words in commands(args.only.split(",")):
            print("==", script, *words, flush=True)
            subprocess.run([sys.executable, str(HERE / f"{script}.py"), *words, "--data", args.data], check=True)
    (HERE / "RESULTS.md").write_text(page() + "\n", encoding="utf-8")
    print("wrote bench/RESULTS.md")


if __name__ == "__main__":
    main()
