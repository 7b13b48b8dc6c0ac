"""Medical 3D: the contrastive loss, views and cache beside MONAI's, then numbers on real volumes.

``--only speed``, ``--only hippocampus`` or ``--only adrenal`` measures one part and leaves the others as they were.
Times are CPU seconds of one thread; both sides of a speed run in turn, memory comes from a fresh process a side.
Hippocampus (MSD Task04, 200 train and 60 test volumes): a run a seed is pre-trained on the train images alone, then
``medical3d segment`` fine-tunes it and a fresh network on k labeled volumes; both rows take their learning rate from
``--rates`` by train volumes that are labeled for it alone, in the first seed. ``--runs FOLDER`` keeps runs, and
``--first 1 --seeds 2`` adds a seed to what the results file holds of the same settings. AdrenalMNIST3D: frozen
features of volumes at 2 mm, area under the ROC curve of a linear probe beside the untrained encoder and histograms.
"""

import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import RESULTS, arguments, child, in_turn, median, peak, save

CONTRAST = (256, 768)  # B, D
PARTS = ("speed", "hippocampus", "adrenal")
SIDE = 96  # voxels of a view
SOURCE = 112  # voxels of a volume that views are cut from


def cpu(work: Callable[[], Any]) -> Callable[[], float]:
    def run() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return run


# ---------------------------------------------------------------------------------------------- speed


def contrast(who: str, batch: int, dim: int, temperature: float = 0.5) -> dict[str, Any]:
    """CPU seconds and peak memory of forward and backward of one side, in this process; value and gradient's norm."""
    import torch
    from monai.losses import ContrastiveLoss

    from unlabeled.nn.heads import unit
    from unlabeled.nn.infonce import nt_xent

    torch.manual_seed(0)
    a, b = torch.randn(batch, dim, requires_grad=True), torch.randn(batch, dim, requires_grad=True)
    theirs = ContrastiveLoss(temperature=temperature)

    def loss(x: Any, y: Any) -> Any:
        return theirs(x, y) if who == "monai" else nt_xent(unit(x), unit(y), temperature)

    loss(a[:4], b[:4]).backward()  # loads kernels
    a.grad = b.grad = None
    before = peak()
    start = time.process_time()
    value = loss(a, b)
    value.backward()
    seconds = time.process_time() - start
    most = peak()
    norm = float(torch.cat((a.grad, b.grad)).norm())
    return {"seconds": seconds, "mb": most - before, "value": value.item(), "gradient": norm}


def measure_contrast(rounds: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {"monai": [], "ours": []}
    for _ in range(rounds):
        for who in found:
            found[who].append(child(Path(__file__), "--contrast", who, *map(str, CONTRAST)))
    ours, monai = found["ours"], found["monai"]
    cold = child(Path(__file__), "--contrast", "ours", *map(str, CONTRAST), "0.01")
    row = {
        "what": f"contrastive loss, B = {CONTRAST[0]}, D = {CONTRAST[1]}, t = 0.5",
        "wanted": 50,
        "ours_s": median([f["seconds"] for f in ours]),
        "theirs_s": median([f["seconds"] for f in monai]),
        "ours_mb": median([f["mb"] for f in ours]),
        "theirs_mb": median([f["mb"] for f in monai]),
        "gap": abs(ours[0]["value"] - monai[0]["value"]) / monai[0]["value"],
        "value at t = 0.01": cold["value"],
    }
    return row | {"ratio": row["theirs_s"] / row["ours_s"]}


def monai_chain() -> Any:
    """The same operations with the same chances and ranges, of MONAI, for one volume."""
    from monai import transforms as T

    return T.Compose(
        [
            T.RandSpatialCrop((SIDE,) * 3, random_size=False),
            *(T.RandFlip(prob=0.5, spatial_axis=axis) for axis in range(3)),
            T.RandGaussianNoise(prob=0.1, std=0.1),
            T.RandGaussianSmooth(sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0), sigma_z=(0.5, 1.0), prob=0.2),
            T.RandScaleIntensity(factors=0.25, prob=0.15),
            T.RandScaleIntensityFixedMean(factors=0.25, prob=0.15),
            T.RandSimulateLowResolution(prob=0.1, zoom_range=(0.5, 1.0)),
            T.RandAdjustContrast(prob=0.3, gamma=(0.7, 1.5)),
            T.RandBiasField(prob=0.1, coeff_range=(-0.3, 0.3)),
        ]
    )


def measure_views(rounds: int, batch: int = 2) -> dict[str, Any]:
    """Two views of 96^3 of each of ``batch`` volumes, epoch after epoch, so that each change gets its share."""
    import torch

    from unlabeled.draw import Draw
    from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
    from unlabeled_medical3d.views.standard import SimCLR

    torch.manual_seed(0)
    images = torch.randn(batch, 1, SOURCE, SOURCE, SOURCE)
    made = VolumeBatch(torch.arange(batch), images, torch.eye(4, dtype=torch.float64).expand(batch, 4, 4))
    views, chain = SimCLR(VolumeSpec(1, (SIDE,) * 3)), monai_chain().set_random_state(seed=0)
    epoch = 0

    def ours() -> None:
        nonlocal epoch
        for _ in range(10):
            views(made, Draw(0, epoch, made.ids))
            epoch += 1

    def theirs() -> None:
        for _ in range(10):
            torch.stack([chain(image) for image in images for _ in range(2)])

    found = in_turn({"theirs": cpu(theirs), "ours": cpu(ours)}, rounds)
    row = {"what": f"{batch} x 2 views of {SIDE}^3, flips and 7 intensity changes, beside MONAI transforms"}
    row |= {"wanted": 2, "ours_s": median(found["ours"]) / 10, "theirs_s": median(found["theirs"]) / 10}
    return row | {"ratio": row["theirs_s"] / row["ours_s"]}


def measure_cache(archive: Path, rounds: int, volumes: int = 60) -> dict[str, Any]:
    """Reading volumes from the cache folder and from the zip, with no memory of either."""
    from unlabeled_medical3d.data.volumes import Volumes

    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "theirs": Volumes(str(archive), 0.01, spacing=(0.8,), cache="none", memory=0),
            "ours": Volumes(str(archive), 0.01, spacing=(0.8,), cache=folder, memory=0),
        }
        sides["ours"].__getitems__(range(volumes))

        def epoch(data: Any) -> Callable[[], None]:
            return lambda: [data.__getitems__([n]) for n in range(volumes)] and None

        found = in_turn({name: cpu(epoch(data)) for name, data in sides.items()}, rounds)
    row = {"what": f"{volumes} hippocampus volumes read and resampled to 0.8 mm: cached, beside uncached", "wanted": 1}
    row |= {"ours_s": median(found["ours"]), "theirs_s": median(found["theirs"])}
    return row | {"ratio": row["theirs_s"] / row["ours_s"]}


# ---------------------------------------------------------------------------------------------- numbers


def pretrain(recipe: str, out: Path, args: Any, seed: int, words: list[str]) -> dict[str, Any]:
    """A run of about ``--seconds`` CPU seconds on one thread: its folder, the seconds and steps really used.

    A run that is already in ``out`` is taken as it is, with what ``spent.json`` says of it.
    """
    import unlabeled
    from unlabeled.cli.main import main as run

    spent = out / "spent.json"
    if spent.is_file():
        return {**json.loads(spent.read_text()), "run": unlabeled.load(out)}

    def train(steps: int) -> float:
        start = time.process_time()
        options = ["--steps", str(steps), "--out", str(out), "--seed", str(seed), "--overwrite", "--no-tensorboard"]
        if run(["medical3d", "pretrain", recipe, *words, *options]):
            raise RuntimeError(f"pre-training of {recipe} failed")
        return time.process_time() - start

    steps = args.pretrain_steps
    if not steps:
        train(4)  # reads the data and loads kernels
        first = train(4)
        each = max((train(16) - first) / 12, 1e-3)
        steps = max(20, round(args.seconds / each))
    found = {"cpu_s": train(steps), "steps": steps}
    spent.write_text(json.dumps(found))
    return {**found, "run": unlabeled.load(out)}


def hippocampus(folder: Path, args: Any) -> None:
    """Curves of Dice for each recipe: 3 seeds of labeled volumes, one pre-training run each seed; kept seed by seed."""
    from unlabeled_medical3d.commands.segment import Segment, curves

    where = folder / "hippocampus"
    words = [
        "--data",
        str(where / "hippocampus.zip"),
        "--data.manifest",
        str(where / "meta.csv"),
        "--data.cache",
        "none",
    ]
    words += ["--data.size", args.size, *args.options.split()]
    counts, rates = tuple(int(k) for k in args.volumes.split(",")), tuple(float(r) for r in args.rates.split(","))
    settings = {"head": args.head, "steps": args.steps, "batch_size": args.batch, "test": args.test, "lr": rates}
    settings |= {"overlap": args.overlap, "precision": args.precision, "decoder": bool(args.decoder)}
    known = json.loads((RESULTS / "medical3d.json").read_text()).get("hippocampus", [])
    rows: list[dict[str, Any]] = []
    for recipe in args.recipes.split(","):
        said = {"recipe": recipe, "options": args.options, "size": args.size, "seconds": args.seconds, **settings}
        said = json.loads(json.dumps(said))  # tuples become lists, as in the file
        same = [row for row in known if args.first and all(row.get(key) == value for key, value in said.items())]
        row: dict[str, Any] = same[0] if same else {**said, "scores": {}, "cpu_s": [], "pretrain_steps": []}
        rows.append(row)
        for seed in range(args.first, args.seeds):
            found = pretrain(recipe, Path(args.runs or tempfile.mkdtemp()) / f"{recipe}-{seed}", args, seed, words)
            scored = curves(
                found["run"], found["run"].data(), Segment(volumes=counts, seeds=(seed,), **settings),
                rates=row.get("rates"), say=lambda line: print(line, flush=True),
            )  # fmt: skip
            row.setdefault("rates", scored.lr)
            row.setdefault("validation_dice", scored.tried)
            row["cpu_s"].append(found["cpu_s"])
            row["pretrain_steps"].append(found["steps"])
            for kind, by_count in scored.scores.items():
                for k, scores in by_count.items():
                    row["scores"].setdefault(kind, {}).setdefault(str(k), []).extend(scores)
            done = [(row["recipe"], row["steps"]) for row in rows]
            keep("hippocampus", [*(old for old in known if (old["recipe"], old["steps"]) not in done), *rows])
            print({kind: {k: gain(v) for k, v in ks.items()} for kind, ks in row["scores"].items()}, flush=True)


def gain(scores: list[dict[str, float]]) -> str:
    values = [100 * s["dice"] for s in scores]
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0:.1f}"


def adrenal(folder: Path, args: Any) -> list[dict[str, Any]]:
    """AUC of frozen features on the official test, of each recipe's runs, untrained encoders, and no model."""
    import torch

    from unlabeled.build import build_encoder
    from unlabeled.probes.embedding import embed
    from unlabeled_medical3d.baselines import IntensityHistogram, RawPatches
    from unlabeled_medical3d.probes.auc import VolumeAUC

    archive = folder / "adrenalmnist3d" / "adrenalmnist3d_64.npz"
    words = ["--data", str(archive), "--data.spacing", "2", "--data.size", "32", "--data.cache", "none"]
    probe, rows, data, clean = VolumeAUC(), [], None, None

    def area(encoder: Any) -> float:
        assert data is not None
        found = embed(encoder, data, clean, batch_size=64)
        train, test = torch.nonzero(~data.test)[:, 0], torch.nonzero(data.test)[:, 0]
        sides = [type(found)(found.x[part], found.y[part], part) for part in (train, test)]
        return 100 * probe(*sides)["auc"]

    for recipe in args.recipes.split(","):
        row: dict[str, Any] = {"row": f"pre-trained, {recipe}", "auc": [], "cpu_s": [], "steps": []}
        fresh: dict[str, Any] = {"row": f"untrained encoder of {recipe}", "auc": []}
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as out:
                found = pretrain(recipe, Path(out) / "run", args, seed, words)
            run = found["run"]
            data, clean = data or run.data(), run.views
            row["auc"].append(area(run.encoder))
            row["cpu_s"].append(found["cpu_s"])
            row["steps"].append(found["steps"])
            fresh["auc"].append(area(build_encoder(run.config.with_training(seed=1000 + seed), run.spec)))
            print(row, fresh, flush=True)
        rows += [fresh, row]
    assert data is not None
    for baseline in (IntensityHistogram(data.spec), RawPatches(data.spec)):
        rows.insert(0, {"row": f"no model: {type(baseline).__name__}", "auc": [area(baseline)]})
    return [{"row": "chance", "auc": [50.0]}, *rows, {"row": "spec", "auc": [], "spec": probe.spec}]


# ---------------------------------------------------------------------------------------------- all


def main() -> None:
    args = arguments(
        __doc__, only="speed,hippocampus,adrenal", rounds=3, recipes="mae,simclr", seconds=200.0, seeds=3,
        volumes="3,6,12,24", steps=150, batch=2, head="auto", test=60, size="32,48,32", rates="0.003,0.01",
        overlap=0.25, precision="bf16", options="", decoder=1, first=0, runs="",
        pretrain_steps=0,
    )  # fmt: skip
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # MONAI's deprecations of its own arguments
    folder = args.data / "medical3d"
    archive = folder / "hippocampus" / "hippocampus.zip"
    for part in args.only.split(","):
        if part == "speed":
            rows = []
            for measure in (lambda n: measure_views(5 * n), lambda n: measure_cache(archive, n), measure_contrast):
                rows.append(measure(args.rounds))
                print(rows[-1], flush=True)
            keep("speed", rows)
        elif part == "hippocampus":
            hippocampus(folder, args)
        elif part == "adrenal":
            keep("adrenal", adrenal(folder, args))


def keep(part: str, rows: list[dict[str, Any]]) -> None:
    """Write one part's rows beside what the file holds of the others."""
    file = RESULTS / "medical3d.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    save("medical3d", {name: found[name] for name in PARTS if name in found} | {part: rows})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contrast"]:
        import torch

        torch.set_num_threads(1)
        who, batch, dim, *rest = sys.argv[2:]
        print(json.dumps(contrast(who, int(batch), int(dim), *map(float, rest))))
    else:
        main()
