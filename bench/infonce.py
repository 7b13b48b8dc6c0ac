"""Chunked against dense InfoNCE: peak extra memory and time of forward and backward, each in a fresh process."""

import json
import sys
import time
from pathlib import Path

from common import arguments, child, median, peak, save


def one(batch: int, chunk: int, steps: int) -> dict[str, float]:
    """Peak resident memory above the inputs' and the median seconds of forward and backward."""
    import torch

    from unlabeled.nn.infonce import nt_xent

    torch.manual_seed(0)

    def step(count: int) -> float:
        z1 = torch.randn(count, 128, requires_grad=True)
        z2 = torch.randn(count, 128, requires_grad=True)
        start = time.perf_counter()
        nt_xent(z1, z2, 0.1, chunk=chunk).backward()
        return time.perf_counter() - start

    step(64)  # loads kernels and thread pools before the first reading
    before = peak()
    seconds = [step(batch) for _ in range(steps)]
    return {"mb": peak() - before, "seconds": median(seconds)}


def main() -> None:
    args = arguments(__doc__, rounds=3, chunk=512)
    rows = []
    for batch in (1024, 4096, 8192):
        sides: dict[str, list[dict[str, float]]] = {"dense": [], "chunked": []}
        for _ in range(args.rounds):
            for name, chunk in (("dense", 0), ("chunked", args.chunk)):
                sides[name].append(child(Path(__file__), "--one", str(batch), str(chunk)))
        row = {"batch": batch, "chunk": args.chunk}
        for name, found in sides.items():
            row |= {f"{name}_mb": median([f["mb"] for f in found]), f"{name}_s": median([f["seconds"] for f in found])}
        row |= {"memory_ratio": row["dense_mb"] / row["chunked_mb"], "time_ratio": row["chunked_s"] / row["dense_s"]}
        print(row)
        rows.append(row)
    save("infonce", {"rows": rows})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(int(sys.argv[2]), int(sys.argv[3]), 3)))
    else:
        main()
