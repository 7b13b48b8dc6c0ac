"""Quality on real color images: three recipes and lightly's SimCLR, each within the same CPU minutes, probed alike.

CIFAR-10 as JPEG (15,000 train, 4,000 test). Every method trains the same small ResNet on the train images alone, from
the same initial weights. A short reading finds how many steps fit the budget, so that the schedule is known from the
start; the CPU minutes that were really used stand beside each row. All rows go through the same probe.
"""

import json
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from common import arguments, child, save

ENCODER = {"name": "resnet", "depth": 10, "width": 16}
BATCH = 128
LR = 1e-3
PROJECTOR = (512, 128)
TEMPERATURE = 0.2
CALIBRATE = 24  # steps


def config(method: str, archive: str, steps: int) -> Any:
    """A recipe at 32 px: no blur, as SimCLR's appendix B.9 has it for CIFAR-10; crops as in the authors' code."""
    from unlabeled.config.recipes import load_recipe
    from unlabeled.config.run import merge, resolve

    over = {
        "data": {"name": "images", "path": archive, "size": 32},
        "views": {"name": "simclr", "blur": 0.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
        "encoder": ENCODER,
        "optimizer": {"name": "adamw", "lr": LR, "weight_decay": 0.05},
        "training": {"batch_size": BATCH, "steps": steps, "epochs": 100_000, "workers": 0, "log_every": 50},
    }
    name = "simclr" if method == "lightly" else method
    if name == "simclr":
        over["objective"] = {"name": "simclr", "projector": list(PROJECTOR), "temperature": TEMPERATURE}
    return resolve(merge(load_recipe("vision", name), over), "vision")


def ours(method: str, archive: str, steps: int, out: Path) -> Any:
    """Train by the real trainer; return the encoder."""
    from unlabeled.build import build
    from unlabeled.training.run import train

    parts = build(config(method, archive, steps))
    train(parts, out)
    return parts.encoder


def lightly(archive: str, steps: int, out: Path) -> Any:
    """lightly's SimCLR, as its examples write it: its transform, head and loss in a plain loop."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from torchvision.datasets import ImageFolder

    from unlabeled.build import build_data, build_encoder

    run = config("lightly", archive, steps)
    data = build_data(run)
    encoder = build_encoder(run, data.spec)
    torch.manual_seed(0)
    zipfile.ZipFile(archive).extractall(out)
    folder = next(p for p in [out, *out.rglob("train")] if p.name == "train")
    transform = SimCLRTransform(
        input_size=32, gaussian_blur=0.0, cj_bright=0.4, cj_contrast=0.4, cj_sat=0.4, cj_hue=0.1
    )
    loader = torch.utils.data.DataLoader(ImageFolder(str(folder), transform), BATCH, shuffle=True, drop_last=True)
    head = SimCLRProjectionHead(encoder.dim, *PROJECTOR)
    criterion = NTXentLoss(temperature=TEMPERATURE)
    model = encoder.model.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=LR, weight_decay=0.05)
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warmup)),
        ],
        [warmup],
    )
    done = 0
    while done < steps:
        for (first, second), _ in loader:
            loss = criterion(head(model(first)), head(model(second)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            if done == steps:
                break
    return encoder


def one(method: str, archive: str, steps: int, weights: str) -> dict[str, float]:
    """Train in this process; return the CPU seconds that it took, imports left out."""
    import torch

    threads = int(os.environ.get("BENCH_THREADS", "1"))
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        start, wall = time.process_time(), time.perf_counter()
        if method == "lightly":
            encoder = lightly(archive, steps, Path(scratch))
        else:
            encoder = ours(method, archive, steps, Path(scratch))
        seconds = time.process_time() - start
    if weights != "-":
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, weights)
    return {"cpu_s": seconds, "wall_s": time.perf_counter() - wall, "steps": steps, "threads": threads}


def train_within(method: str, archive: str, minutes: float, weights: Path) -> dict[str, float]:
    """As many steps as fit the budget, by a reading of two short runs (so that start-up is not counted as steps)."""
    words = (method, archive)
    short = child(Path(__file__), "--one", *words, str(CALIBRATE), "-")["cpu_s"]
    longer = child(Path(__file__), "--one", *words, str(4 * CALIBRATE), "-")["cpu_s"]
    a_step = (longer - short) / (3 * CALIBRATE)
    steps = int((60 * minutes - (short - CALIBRATE * a_step)) / a_step)
    return child(Path(__file__), "--one", *words, str(steps), str(weights))


def measure(archive: str, weights: dict[str, Path]) -> list[dict[str, Any]]:
    """kNN and linear accuracy on the 4,000 test images: chance, raw pixels, untrained (3 seeds), and each method.

    Label subsets are drawn with 3 seeds; numbers with all labels of a trained encoder have one value each.
    """
    import torch
    from safetensors.torch import load_file

    from unlabeled.build import build_data, build_encoder
    from unlabeled.contract import Embedded
    from unlabeled.probes.embedding import batches, calibrate, embed, take
    from unlabeled.probes.knn import KNN
    from unlabeled.probes.linear import Linear
    from unlabeled.probes.splits import subset
    from unlabeled_vision.baselines import RawPixels
    from unlabeled_vision.views.standard import Clean

    run = config("simclr", archive, 1)
    data = build_data(run)
    clean, ids = Clean(data.spec), torch.arange(len(data))
    train, test = ids[~data.test], ids[data.test]
    knn, linear = KNN(), Linear()

    def numbers(found: Embedded, seeds: tuple[int, ...]) -> dict[str, list[float]]:
        x, y = found.x, found.y
        held, out = Embedded(x[test], y[test]), {}
        for labels in ("10 per class", "10 %", "all"):
            for seed in seeds if labels != "all" else seeds[:1]:
                part = train[subset(y[train], train, labels, seed)]
                for name, one_probe in (("knn", knn), ("linear", linear)):
                    value = one_probe(Embedded(x[part], y[part]), held)["accuracy"]
                    out.setdefault(f"{name}, {labels}", []).append(100 * value)
        return out

    rows = [{"row": "chance", "numbers": {}, "note": "10.0 everywhere: ten classes of equal size"}]
    rows.append({"row": "raw pixels", "numbers": numbers(embed(RawPixels(), data, clean), (0, 1, 2))})
    fresh: dict[str, list[float]] = {}
    for seed in range(3):
        encoder = build_encoder(run.with_training(seed=1000 + seed), data.spec)
        some = batches(data, train[torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))][:2048],
                       batch_size=256, workers=0)  # fmt: skip
        calibrate(encoder, lambda batch, e=encoder: e(take(clean, batch, 1, 0)[0]), some)
        for key, values in numbers(embed(encoder, data, clean), (seed,)).items():
            fresh.setdefault(key, []).extend(values)
    rows.append({"row": "untrained encoder", "numbers": fresh})
    for method, file in weights.items():
        encoder = build_encoder(run, data.spec)
        encoder.load_state_dict(load_file(file))
        rows.append({"row": method, "numbers": numbers(embed(encoder, data, clean), (0, 1, 2))})
        print(rows[-1], flush=True)
    return [{**row, "specs": [knn.spec, linear.spec]} for row in rows]


def main() -> None:
    args = arguments(
        __doc__, minutes=20.0, methods="simclr,barlow_twins,vicreg,lightly", only="", weights="bench/weights"
    )
    archive = str(args.data / "vision" / "cifar10" / "cifar10.zip")
    folder = Path(args.weights)
    folder.mkdir(parents=True, exist_ok=True)
    if args.only != "probe":
        for method in args.methods.split(","):
            trained = train_within(method, archive, args.minutes, folder / f"{method}.safetensors")
            (folder / f"{method}.json").write_text(json.dumps(trained))
            print(method, trained, flush=True)
    if args.only != "train":
        weights = {m: folder / f"{m}.safetensors" for m in args.methods.split(",")}
        rows = measure(archive, weights)
        trained = {m: json.loads((folder / f"{m}.json").read_text()) for m in weights}
        save("quality", {"minutes": args.minutes, "encoder": ENCODER, "batch": BATCH, "rows": rows, "trained": trained})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        method, archive, steps, weights = sys.argv[2:6]
        print(json.dumps(one(method, archive, int(steps), weights)))
    else:
        main()
