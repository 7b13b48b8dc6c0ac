"""What every measurement shares: the machine, medians, alternation of the two sides, one JSON file a measurement."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def machine() -> dict[str, str]:
    """CPU, cores and versions, as written at the head of RESULTS.md."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (x.split(":")[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")), model
        )
    packages = ("torch", "torchvision", "timm", "lightning", "lightly")
    return {
        "cpu": f"{model}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def arguments(doc: str, **defaults: Any) -> argparse.Namespace:
    """``--out``, ``--data`` and one flag a default."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser.parse_args()


def peak() -> float:
    """Peak resident memory of this process in MB. Not ru_maxrss, which starts at what its parent held."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure each side once a round, round after round: noise of the machine falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sides if number % 2 == 0 else reversed(list(sides)):
            found[name].append(sides[name]())
    return found


def child(script: Path, *args: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a script of this folder in a fresh process; its last line is JSON."""
    done = subprocess.run(
        [sys.executable, str(script), *args], capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} {' '.join(args)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def command_line() -> str:
    """The command of this process, without where the data lies, which is this machine's matter."""
    threads = os.environ.get("OMP_NUM_THREADS")
    words = [*sys.argv[1:]]
    if "--data" in words:
        del words[words.index("--data") : words.index("--data") + 2]
    prefix = f"OMP_NUM_THREADS={threads} " if threads else ""
    return prefix + "python " + " ".join(["bench/" + Path(sys.argv[0]).name, *words])


def save(name: str, found: Mapping[str, Any]) -> None:
    """Write ``results/NAME.json``, with the machine and the command that made it."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"command": command_line(), "machine": machine(), **found}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"wrote bench/results/{name}.json")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])
