"""Images per second end to end (decode, views, step): our SimCLR run beside lightly's modules in a plain loop.

Both sides read the same JPEG files, make two views with the same settings, and step the same timm network with the
same projector widths, batch size, optimizer, threads and worker processes. Each side runs in a fresh process, in turn;
a reading leaves out the first steps. One image counts once, though two views of it are encoded. Ours is the trainer as
a user runs it, so what it does by default counts: decoded images are kept, and freed memory is kept for the next step.
"""

import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import arguments, child, median, save

WARM = 3
CASES = {  # encoder, pixels -> batch size, steps that are read
    ("demo", 32): (256, 20),
    ("demo", 224): (32, 12),
    ("resnet18", 32): (128, 6),
    ("resnet18", 224): (16, 8),
}
DEMO = {"name": "vit", "width": 64, "depth": 4, "heads": 1}  # what `vit` is for the demo's digits
TEMPERATURE = 0.2
LEARNING_RATE = 1e-3


def photos(data: Path, size: int, folder: Path) -> Path:
    """A folder of JPEG photos: CIFAR-10 at 32 px as it is; for 224 px the flowers, enlarged to 256 px."""
    from PIL import Image

    archive = data / "vision" / ("cifar10/cifar10.zip" if size == 32 else "flowers5/flowers5.zip")
    out = folder / str(size)
    names = [n for n in zipfile.ZipFile(archive).namelist() if "/train/" in f"/{n}" and n.endswith(".jpg")]
    step = max(1, len(names) // 4000)
    with zipfile.ZipFile(archive) as opened:
        for name in names[::step]:
            target = out / Path(name).parent.name / Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            if size == 32:
                target.write_bytes(opened.read(name))
            else:
                image = Image.open(io.BytesIO(opened.read(name))).convert("RGB")
                image.resize((256, 256), Image.Resampling.LANCZOS).save(target, quality=90)
    return out


def rate(stamps: list[float], batch: int) -> float:
    """Images per second between the end of the warm-up and the last step."""
    return batch * (len(stamps) - 1 - WARM) / (stamps[-1] - stamps[WARM])


def config(folder: str, encoder: str, size: int, workers: int) -> Any:
    """The run that both sides stand for."""
    from unlabeled.config.run import resolve

    batch, steps = CASES[encoder, size]
    choice = DEMO if encoder == "demo" else {"name": "resnet", "depth": 18}
    raw = {
        "data": {"name": "images", "path": folder, "size": size},
        "views": {"name": "simclr", "blur": 0.0 if size == 32 else 0.5},
        "encoder": choice,
        "objective": {"name": "simclr", "projector": [512, 128], "temperature": TEMPERATURE},
        "optimizer": {"name": "adamw", "lr": LEARNING_RATE},
        "training": {"batch_size": batch, "steps": steps + WARM + 1, "epochs": 1000, "workers": workers},
    }
    return resolve(raw, "vision")


def ours(folder: str, encoder: str, size: int, workers: int) -> float:
    """The real trainer, with everything that it does by default."""
    from unlabeled.build import build
    from unlabeled.training.run import train

    built = build(config(folder, encoder, size, workers))
    stamps: list[float] = []
    after = built.objective.after_step

    def after_step(*args: Any) -> None:
        after(*args)
        stamps.append(time.perf_counter())

    built.objective.after_step = after_step
    with tempfile.TemporaryDirectory() as out:
        train(built, Path(out))
    return rate(stamps, CASES[encoder, size][0])


def theirs(folder: str, encoder: str, size: int, workers: int) -> float:
    """lightly's transform, head and loss over torchvision's ImageFolder, in a plain loop."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from torchvision.datasets import ImageFolder

    from unlabeled.build import build_encoder
    from unlabeled_vision.batch import ImageSpec

    batch, steps = CASES[encoder, size]
    # built as ours is, then laid out in memory as timm lays it out
    bare = build_encoder(config(folder, encoder, size, workers), ImageSpec(3, size)).model
    bare.to(memory_format=torch.contiguous_format)
    # lightly's default strengths are those of our SimCLR views; normalization is ImageNet's on both sides
    transform = SimCLRTransform(input_size=size, gaussian_blur=0.0 if size == 32 else 0.5)
    loader = torch.utils.data.DataLoader(
        ImageFolder(folder, transform),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    head = SimCLRProjectionHead(bare.num_features, 512, 128)
    criterion = NTXentLoss(temperature=TEMPERATURE)
    optimizer = torch.optim.AdamW([*bare.parameters(), *head.parameters()], lr=LEARNING_RATE, weight_decay=0.05)
    stamps: list[float] = []
    for (first, second), _ in forever(loader):
        loss = criterion(head(bare(first)), head(bare(second)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        stamps.append(time.perf_counter())
        if len(stamps) == steps + WARM + 1:
            return rate(stamps, batch)
    raise AssertionError("unreachable")


def forever(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def main() -> None:
    args = arguments(__doc__, rounds=3, workers=2)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {size: photos(args.data, size, Path(scratch)) for size in (32, 224)}
        for encoder, size in CASES:
            found: dict[str, list[float]] = {"ours": [], "lightly": []}
            for number in range(args.rounds):
                for side in ("ours", "lightly") if number % 2 == 0 else ("lightly", "ours"):
                    words = (side, str(folders[size]), encoder, str(size), str(args.workers))
                    found[side].append(child(Path(__file__), "--one", *words)["rate"])
            row = {"encoder": encoder, "size": size, "batch": CASES[encoder, size][0], "workers": args.workers}
            row |= {side: median(values) for side, values in found.items()}
            row["ratio"] = row["ours"] / row["lightly"]
            print(row, flush=True)
            rows.append(row)
    save("throughput", {"rows": rows})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        side, folder, encoder, size, workers = sys.argv[2:7]
        measure = ours if side == "ours" else theirs
        print(json.dumps({"rate": measure(folder, encoder, int(size), int(workers))}))
    else:
        main()
