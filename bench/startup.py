"""Start-up: CPU seconds (user + system, children included) and wall seconds of what a user types first."""

import resource
import subprocess
import sys
import time
from pathlib import Path

from common import arguments, median, save

COMMANDS = (
    ("--help",),
    ("list",),
    ("recipes",),
    ("vision", "pretrain", "--help"),
    ("vision", "pretrain", "dino", "--print-config"),
)


def cost(command: list[str]) -> tuple[float, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - start


def main() -> None:
    args = arguments(__doc__, rounds=7)
    script = str(Path(sys.executable).with_name("unlabeled"))
    rows = []
    for words in COMMANDS:
        cost([script, *words])  # writes byte code, fills the page cache
        found = [cost([script, *words]) for _ in range(args.rounds)]
        row = {"command": "unlabeled " + " ".join(words)}
        row |= {"cpu_s": median([f[0] for f in found]), "wall_s": median([f[1] for f in found])}
        print(row)
        rows.append(row)
    save("startup", {"rows": rows, "published": {"lightly-train help": 11.1, "spt --help": 0.35}})


if __name__ == "__main__":
    main()
