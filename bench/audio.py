"""Audio: losses and masks beside torchaudio's and transformers', a pre-training step end to end, numbers on FSDD.

``--only speed`` or ``--only numbers`` measures one part, and leaves the other as it was; ``--only recipes --recipes
NAME,NAME`` puts each of these, or of all, beside its own untrained encoder. Speed: ``audio_losses.py`` and
``audio_step.py``. Numbers: the Free Spoken Digit Dataset, train clips alone without labels, then scikit-learn's
logistic regression on standardized features: ten clips a digit (5 draws), and all clips of five speakers against the
sixth (6 speakers).
"""

import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from audio_losses import hubert, spans, wav2vec2
from audio_step import end_to_end
from common import RESULTS, arguments, child, save

DRAWS, SHOTS = 5, 10
RECIPE = "simclr"
# recipes that learn from a run of another
FIRST = {"atst_both": "atst_clip", "unfused": "vicreg"}


def fsdd(manifest: str, recipe: str, steps: int, first: str = "") -> Any:
    """The recipe on FSDD, with nothing but its length changed, and the run given that it learns from."""
    from unlabeled.config.recipes import load_recipe
    from unlabeled.config.run import merge, resolve

    over = {
        "data": {"name": "clips", "path": manifest, "label": "digit", "seconds": 0.8},
        "training": {"steps": steps, "epochs": 100_000, "workers": 0, "log_every": 50},
        **({"objective": {"run": first}} if first else {}),
    }
    return resolve(merge(load_recipe("audio", recipe), over), "audio")


def train(manifest: str, recipe: str, steps: int, weights: str, first: str, encoder: str) -> dict[str, float]:
    """Train in this process on one thread; the CPU seconds that it took, imports left out. "-" keeps nothing."""
    import torch
    from safetensors.torch import save_file

    from unlabeled.build import build
    from unlabeled.runs.encoder import save_encoder
    from unlabeled.training.run import train as run

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        start = time.process_time()
        parts = build(fsdd(manifest, recipe, steps, first.strip("-")))
        done = run(parts, Path(scratch))
        seconds = time.process_time() - start
    if weights != "-":
        save_file({k: v.contiguous() for k, v in parts.encoder.state_dict().items()}, weights)
    if encoder != "-":
        samples = done.steps * parts.config.training.batch_size
        save_encoder(encoder, parts.encoder, parts.data.spec, parts.config, steps=done.steps, samples=samples)
    return {"cpu_s": seconds, "steps": done.steps, "planned": steps}


def train_within(
    manifest: str, recipe: str, minutes: float, weights: Path, first: str = "-", encoder: str = "-"
) -> dict[str, float]:
    """As many steps as fit the budget, by a reading of two short runs."""
    words = ("--train", manifest, recipe)
    short, longer = (child(Path(__file__), *words, str(n), "-", first, "-")["cpu_s"] for n in (6, 30))
    a_step = (longer - short) / 24
    steps = max(1, int((60 * minutes - (short - 6 * a_step)) / a_step))
    return child(Path(__file__), *words, str(steps), str(weights), first, encoder)


def accuracy(train_x: Any, train_y: Any, test_x: Any, test_y: Any) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(train_x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=500).fit(scale.transform(train_x), train_y)
    return 100 * float(model.score(scale.transform(test_x), test_y))


def few_shot(x: Any, data: Any) -> list[float]:
    """Digit with ten clips a digit, over draws."""
    import numpy as np

    x, y, test = x.numpy(), data.labels.numpy(), data.test.numpy()
    train, held = np.flatnonzero(~test), np.flatnonzero(test)
    found = []
    for draw in range(DRAWS):
        random = np.random.default_rng(draw)
        chosen = np.concatenate([random.permutation(train[y[train] == c])[:SHOTS] for c in range(10)])
        found.append(accuracy(x[chosen], y[chosen], x[held], y[held]))
    return found


def numbers_of(x: Any, data: Any) -> dict[str, list[float]]:
    """Digit on the set's own split, with ten clips a digit, for an unheard speaker; and who speaks."""
    import numpy as np

    few = few_shot(x, data)
    x, y, speaker, test = x.numpy(), data.labels.numpy(), data.speakers.numpy(), data.test.numpy()
    train, held = np.flatnonzero(~test), np.flatnonzero(test)
    unheard = [accuracy(x[speaker != s], y[speaker != s], x[speaker == s], y[speaker == s]) for s in range(6)]
    return {
        "digit, official": [accuracy(x[train], y[train], x[held], y[held])],
        "digit, 10-shot": few,
        "digit, unheard speaker": unheard,
        "speaker": [accuracy(x[train], speaker[train], x[held], speaker[held])],
    }


def measure(manifest: str, weights: dict[str, Path]) -> list[dict[str, Any]]:
    """Baselines, then each recipe beside its own untrained encoder."""
    from safetensors.torch import load_file

    from unlabeled.build import build_data, build_encoder
    from unlabeled.probes.embedding import embed
    from unlabeled_audio.baselines import LogMelSegments, LogMelStatistics, MFCCStatistics
    from unlabeled_audio.views.standard import Clean

    config = fsdd(manifest, next(iter(weights)), 1)
    data = build_data(config)
    rows = [{"row": "chance", "numbers": {}}]
    for baseline in (LogMelStatistics, MFCCStatistics, LogMelSegments):
        rows.append(
            {
                "row": baseline.__name__,
                "numbers": numbers_of(embed(baseline(data.spec), data, Clean(data.spec)).x, data),
            }
        )
    for recipe, file in weights.items():
        config = fsdd(manifest, recipe, 1)
        data = build_data(config)
        clean, fresh = Clean(data.spec), {}
        for seed in range(3):
            encoder = build_encoder(config.with_training(seed=1000 + seed), data.spec)
            for key, values in numbers_of(embed(encoder, data, clean).x, data).items():
                fresh.setdefault(key, []).append(statistics.mean(values))
        rows.append({"row": f"{recipe}, untrained", "numbers": fresh})
        encoder = build_encoder(config, data.spec)
        encoder.load_state_dict(load_file(file))
        rows.append({"row": recipe, "numbers": numbers_of(embed(encoder, data, clean).x, data)})
        print(rows[-2:], flush=True)
    return rows


def readings(encoder: Any, data: Any) -> dict[str, list[float]]:
    """Ten-shot digits from pooled features; and from the mean of all layers, each averaged over time, where given."""
    import torch

    from unlabeled.probes.frozen import Frozen
    from unlabeled_audio.probes.frames import layer_count, pooled_layers
    from unlabeled_audio.views.standard import Clean

    ids = torch.arange(len(data))
    frozen = Frozen(encoder, "pre-trained", data, Clean(data.spec), ids[~data.test], ids[data.test])
    found = {"pooled": few_shot(frozen.embed().x, data)}
    if "layers" in encoder.can:
        layers, read = pooled_layers(frozen, ids, layer_count(frozen))
        assert read.equal(ids), "clips that cannot be read"
        found["layers"] = few_shot(layers.mean(1), data)
    return found


def measure_recipes(manifest: str, names: list[str], minutes: float, folder: Path) -> None:
    """Each recipe beside its own untrained encoder; kept after each, so that runs can be pieces."""
    from safetensors.torch import load_file

    from unlabeled.build import build_data, build_encoder

    untrained: dict[str, dict[str, list[float]]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        file, first = folder / f"audio-{name}.safetensors", "-"
        if name in FIRST:
            first = str(folder / f"audio-{FIRST[name]}-encoder")
            if not Path(first).exists():
                train_within(manifest, FIRST[name], minutes, folder / "first.safetensors", encoder=first)
        done = train_within(manifest, name, minutes, file, first)
        config = fsdd(manifest, name, 1)
        data = build_data(config)
        key = repr(config.parts["encoder"])
        if key not in untrained:
            seeds = [readings(build_encoder(config.with_training(seed=1000 + i), data.spec), data) for i in range(3)]
            untrained[key] = {what: [statistics.mean(seed[what]) for seed in seeds] for what in seeds[0]}
        encoder = build_encoder(config, data.spec)
        encoder.load_state_dict(load_file(file))
        row = {"row": name, "untrained": untrained[key], "pre-trained": readings(encoder, data), "minutes": minutes}
        row |= {"encoder": config.parts["encoder"].name, "cpu_s": done["cpu_s"], "steps": done["steps"]}
        row |= {"first": FIRST[name]} if name in FIRST else {}
        print(json.dumps(row), flush=True)
        kept = RESULTS / "audio_recipes.json"
        rows = json.loads(kept.read_text())["rows"] if kept.exists() else []
        rows = sorted([r for r in rows if r["row"] != name] + [row], key=lambda r: r["row"])
        command = "python bench/audio.py --only recipes, in pieces: minutes stand beside each row"
        save("audio_recipes", {"command": command, "rows": rows})


def main() -> None:
    args = arguments(__doc__, rounds=5, only="speed,numbers", minutes=5.0, recipes="", weights="bench/weights")
    if args.only == "recipes":
        import torch

        torch.set_num_threads(1)
        from unlabeled.config.recipes import recipe_files

        names = args.recipes.split(",") if args.recipes else list(recipe_files("audio"))
        measure_recipes(str(args.data / "audio" / "fsdd" / "meta.csv"), names, args.minutes, Path(args.weights))
        return
    recipes = args.recipes or RECIPE
    kept = RESULTS / "audio.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    found = {key: found[key] for key in ("speed", "numbers", "trained", "minutes", "commands") if key in found}
    wanted = f"--rounds {args.rounds}", f"--recipes {recipes} --minutes {args.minutes:g}"
    said = dict(zip(("speed", "numbers"), wanted, strict=True))
    found["commands"] = found.get("commands", {}) | {part: said[part] for part in args.only.split(",")}
    if "speed" in args.only:
        import torch

        torch.set_num_threads(1)
        found["speed"] = [hubert(args.rounds), wav2vec2(args.rounds), spans(args.rounds), end_to_end(args.rounds)]
    if "numbers" in args.only:
        folder = Path(args.weights)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = str(args.data / "audio" / "fsdd" / "meta.csv")
        weights = {name: folder / f"audio-{name}.safetensors" for name in recipes.split(",")}
        found["trained"] = {n: train_within(manifest, n, args.minutes, file) for n, file in weights.items()}
        found |= {"numbers": measure(manifest, weights), "minutes": args.minutes}
    save("audio", found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        print(json.dumps(train(sys.argv[2], sys.argv[3], int(sys.argv[4]), *sys.argv[5:])))
    else:
        main()
