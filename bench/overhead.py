"""What the trainer costs: seconds a step of `train()` over a hand-written loop on the same parts, in turn.

Wall and CPU seconds: on a busy machine the first are noise; with one thread and no workers both count the same work.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, child, median, save

WARM = 5
CASES = {"demo": (16, 256, 60), "vit32": (32, 128, 15)}  # pixels, batch size, steps that are read


def parts(case: str) -> Any:
    from unlabeled.build import build
    from unlabeled.config.run import resolve

    size, batch, steps = CASES[case]
    raw = {
        "data": {"name": "digits", "size": size},
        "training": {"batch_size": batch, "steps": steps + WARM + 1, "epochs": 10_000},
    }
    return build(resolve(raw, "vision"))


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def trainer(case: str) -> list[tuple[float, float]]:
    from unlabeled.training.run import train

    built = parts(case)
    stamps: list[tuple[float, float]] = []
    after = built.objective.after_step

    def after_step(*args: Any) -> None:
        after(*args)
        stamps.append(now())

    built.objective.after_step = after_step
    with tempfile.TemporaryDirectory() as out:
        train(built, Path(out))
    return stamps


def by_hand(case: str) -> list[tuple[float, float]]:
    """The loop that one would write: same data, views, objective and optimizer; nothing logged, nothing saved."""
    import torch

    from unlabeled.contract import Progress
    from unlabeled.nn.clock import after_step

    built = parts(case)
    _, size, steps = CASES[case]
    optimizer, _ = built.optimizer(steps)
    built.encoder.train(), built.objective.train()
    stamps: list[tuple[float, float]] = []
    epoch = 0
    while True:
        order = torch.randperm(len(built.data), generator=torch.Generator().manual_seed(epoch)).tolist()
        for start in range(0, len(order) - size + 1, size):
            batch = built.data.__getitems__(order[start : start + size])
            loss = built.loss(batch, epoch)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
            after_step(built.objective, built.encoder, Progress(len(stamps) + 1, steps + WARM + 1))
            stamps.append(now())
            if len(stamps) == steps + WARM + 1:
                return stamps
        epoch += 1


def main() -> None:
    args = arguments(__doc__, rounds=5, cases=",".join(CASES))
    rows = []
    for case in args.cases.split(","):
        found: dict[str, list[dict[str, float]]] = {"trainer": [], "by_hand": []}
        for number in range(args.rounds):
            for side in ("trainer", "by_hand") if number % 2 == 0 else ("by_hand", "trainer"):
                found[side].append(child(Path(__file__), "--one", side, case))
        row: dict[str, Any] = {"case": case, "rounds": args.rounds}
        for unit, name in (("seconds", ""), ("cpu_seconds", "cpu_")):
            middle = {side: median([one[unit] for one in values]) for side, values in found.items()}
            row |= {f"{name}{side}": value for side, value in middle.items()}
            row[f"{name}ratio"] = middle["trainer"] / middle["by_hand"]
        print(row, flush=True)
        rows.append(row)
    save("overhead", {"rows": rows})


def one(side: str, case: str) -> dict[str, float]:
    """Seconds a step of one side, the first steps left out."""
    stamps = (trainer if side == "trainer" else by_hand)(case)
    steps = len(stamps) - 1 - WARM
    wall, cpu = ((stamps[-1][k] - stamps[WARM][k]) / steps for k in (0, 1))
    return {"seconds": wall, "cpu_seconds": cpu}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(*sys.argv[2:4])))
    else:
        main()
