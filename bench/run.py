"""Run every measurement, and write RESULTS.md from the JSON files that they leave in results/.

``--only NAME,NAME`` runs some; ``--write`` runs none and writes the page anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import HERE, RESULTS, table

NAMES = ("paired", "throughput", "overhead", "infonce", "startup", "drop", "quality")


def paired(rows: list[dict[str, Any]]) -> str:
    head = ("method", "steps", "greatest relative gap, float64", "float32, first 50", "loss first -> last")
    return table(
        head,
        [
            (r["method"], r["steps"], f"{r['gap']:.1e}", f"{r['gap_float32_50']:.1e}", f"{r['first']:.4f} -> {r['last']:.4f}")
            for r in rows
        ],
    )  # fmt: skip


def throughput(rows: list[dict[str, Any]]) -> str:
    head = ("encoder", "pixels", "ours / lightly", "ours, images/s", "lightly, images/s", "batch", "workers")
    return table(
        head,
        [
            (r["encoder"], r["size"], f"**{r['ratio']:.2f} x**", f"{r['ours']:.1f}", f"{r['lightly']:.1f}", r["batch"], r["workers"])
            for r in rows
        ],
    )  # fmt: skip


def overhead(rows: list[dict[str, Any]]) -> str:
    head = ("case", "trainer / by hand", "trainer, s a step", "by hand, s a step")
    return table(
        head, [(r["case"], f"**{r['ratio']:.3f}**", f"{r['trainer']:.4f}", f"{r['by_hand']:.4f}") for r in rows]
    )


def infonce(rows: list[dict[str, Any]]) -> str:
    head = ("B", "dense / chunked memory", "chunked / dense time", "dense MB", "chunked MB", "dense s", "chunked s")
    return table(
        head,
        [
            (r["batch"], f"**{r['memory_ratio']:.1f} x**", f"**{r['time_ratio']:.2f}**", f"{r['dense_mb']:.0f}",
             f"{r['chunked_mb']:.0f}", f"{r['dense_s']:.2f}", f"{r['chunked_s']:.2f}")
            for r in rows
        ],
    )  # fmt: skip


def startup(rows: list[dict[str, Any]]) -> str:
    text = table(
        ("command", "CPU s", "wall s"), [(f"`{r['command']}`", f"{r['cpu_s']:.2f}", f"{r['wall_s']:.2f}") for r in rows]
    )
    return (
        text + "\n\nPublished elsewhere: `lightly-train help` 11.1 CPU s, stable-pretraining's `spt --help` 0.35 CPU s."
    )


def drop(rows: list[dict[str, Any]]) -> str:
    head = ("model", "75 % hidden / none hidden", "none hidden, s", "75 % hidden, s", "batch")
    return table(
        head,
        [(r["model"], f"**{r['ratio']:.2f}**", f"{r['all_s']:.2f}", f"{r['hidden_s']:.2f}", r["batch"]) for r in rows],
    )


SECTIONS = {
    "paired": ("Loss curves beside lightly's modules", paired),
    "throughput": ("Images per second, end to end, beside lightly", throughput),
    "overhead": ("Overhead of the trainer", overhead),
    "infonce": ("Chunked InfoNCE", infonce),
    "startup": ("Start-up", startup),
    "drop": ("Encoder time when tokens are dropped", drop),
}


def page() -> str:
    """RESULTS.md: ratios first, with the command and machine of each measurement."""
    from quality_table import quality

    lines = [
        "# Results",
        "",
        "Made by `make bench`; every section names its command. Medians; both sides in one run, in turn.",
        "",
    ]
    machine = None
    for name in NAMES:
        file = RESULTS / f"{name}.json"
        if not file.exists():
            continue
        found = json.loads(file.read_text())
        if found["machine"] != machine:
            machine = found["machine"]
            lines += ["Machine: " + ", ".join(f"{k} {v}" for k, v in machine.items()), ""]
        title, text = ("Quality on CIFAR-10 (JPEG)", quality(found)) if name == "quality" else (
            SECTIONS[name][0], SECTIONS[name][1](found["rows"]))  # fmt: skip
        lines += [f"## {title}", "", f"`{found['command']}`", "", text, ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(HERE.parent.parent / "shared" / "data"))
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if not args.write:
        for name in args.only.split(","):
            print(f"== {name}", flush=True)
            subprocess.run([sys.executable, str(HERE / f"{name}.py"), "--data", args.data], check=True)
    (HERE / "RESULTS.md").write_text(page() + "\n", encoding="utf-8")
    print("wrote bench/RESULTS.md")


if __name__ == "__main__":
    main()
