"""Audio: losses and masks beside torchaudio's and transformers', a pre-training step end to end, numbers on FSDD.

``--only speed`` or ``--only numbers`` measures one part, and leaves the other as it was. Both sides of a speed run in
turn in one process and give the same values; peak memory comes from a fresh process a side. Numbers: the Free Spoken
Digit Dataset, train clips alone without labels, then scikit-learn's logistic regression on standardized features:
ten clips a digit (5 draws), and all clips of five speakers against the sixth (6 speakers).
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import RESULTS, arguments, child, in_turn, median, save

HUBERT = (1500, 504, 256)  # frames, units, width
WAV2VEC2 = (8, 781, 100, 256)  # clips, frames, distractors, width
DRAWS, SHOTS = 5, 10
RECIPE = "simclr"


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    """CPU seconds: on one thread they are what a quiet machine takes, and a busy one does not blur them."""

    def run() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return run


def compare(
    name: str, theirs: Callable[[], Any], ours: Callable[[], Any], rounds: int, wanted: float
) -> dict[str, Any]:
    """Both sides give (value, gradient); their relative differences, and the ratio of their times."""
    (value, gradient), (mine, slope) = theirs(), ours()
    found = in_turn({"theirs": timed(theirs), "ours": timed(ours)}, rounds)
    row = {"what": name, "theirs_s": median(found["theirs"]), "ours_s": median(found["ours"]), "wanted": wanted}
    row["ratio"] = row["theirs_s"] / row["ours_s"]
    row["value_gap"] = abs(float(value) - float(mine)) / abs(float(value))
    row["gradient_gap"] = float((gradient - slope).norm() / gradient.norm())
    print(row, flush=True)
    return row


# ---------------------------------------------------------------------------------------------- losses


def hubert(rounds: int) -> dict[str, Any]:
    """torchaudio's cosine against an expanded [C + 1, N, D], and one product of matrices."""
    import torch
    import torch.nn.functional as F
    from torchaudio.models.wav2vec2.components import _compute_logits

    from unlabeled_audio.objectives.hubert import hubert_loss

    frames, count, width = HUBERT
    torch.manual_seed(0)
    x, units = torch.randn(frames, width, requires_grad=True), torch.rand(count, width, requires_grad=True)
    ids = torch.randint(count, (frames,))
    zero = torch.zeros(frames, dtype=torch.int64)

    def theirs() -> Any:
        loss = F.cross_entropy(_compute_logits(x, ids, units), zero, reduction="sum")
        return loss.detach(), torch.autograd.grad(loss, x)[0]

    def ours() -> Any:
        loss = hubert_loss(x, units, ids).sum()
        return loss.detach(), torch.autograd.grad(loss, x)[0]

    return compare(f"HuBERT loss, N {frames}, C {count}", theirs, ours, rounds, 300)


def wav2vec2(rounds: int) -> dict[str, Any]:
    """transformers' gathered negatives for all frames, and counts of them in one product a clip."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from transformers import Wav2Vec2ForPreTraining
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

    from unlabeled.contract import Layout
    from unlabeled_audio.objectives.wav2vec2 import contrastive_loss, count_distractors

    clips, frames, count, width = WAV2VEC2
    np.random.seed(0)
    torch.manual_seed(0)
    mask = _compute_mask_indices((clips, frames), 0.65, 10)
    negatives = torch.from_numpy(_sample_negative_indices((clips, frames), count, mask)).long()
    mask = torch.from_numpy(mask)
    context = torch.randn(clips, frames, width, requires_grad=True)
    target = torch.randn(clips, frames, width)
    lengths = tuple(mask.sum(1).tolist())
    rank = mask.cumsum(1) - 1
    place = torch.full((clips, max(lengths), count), max(lengths))
    for clip, size in enumerate(lengths):
        place[clip, :size] = rank[clip][negatives[clip][mask[clip]] - clip * frames]
    layout, codes = Layout(lengths, torch.zeros(sum(lengths), 1)), torch.arange(sum(lengths))

    def theirs() -> Any:
        gathered = target.view(-1, width)[negatives.view(-1)].view(clips, frames, -1, width).permute(2, 0, 1, 3)
        logits = Wav2Vec2ForPreTraining.compute_contrastive_logits(target[None], gathered, context, 0.1)
        same = (target == gathered).all(-1)
        if same.any():
            logits[1:][same] = float("-inf")
        logits = logits.transpose(0, 2).reshape(-1, logits.size(0))
        labels = ((1 - mask.long()) * -100).transpose(0, 1).flatten()
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        return loss.detach(), torch.autograd.grad(loss, context)[0][mask]

    def ours() -> Any:
        counts = count_distractors(place, lengths)
        loss = contrastive_loss(context[mask], target[mask], codes, counts, layout).sum()
        return loss.detach(), torch.autograd.grad(loss, context)[0][mask]

    return compare(f"wav2vec 2.0 loss, B {clips}, T {frames}", theirs, ours, rounds, 50)


def spans(rounds: int) -> dict[str, Any]:
    """torchaudio's loop over spans, and sliding minima over all clips."""
    import torch
    from torchaudio.models.wav2vec2.components import _compute_mask_indices

    from unlabeled.contract import Layout, View
    from unlabeled.draw import Draw
    from unlabeled_audio.batch import AudioBatch
    from unlabeled_audio.masks import SpanMask

    clips, frames = WAV2VEC2[:2]
    place = torch.arange(frames).repeat(clips)[:, None]
    batch = AudioBatch(torch.arange(clips), torch.zeros(clips), (1,) * clips)
    view, mask = View(batch, "global", Layout((frames,) * clips, place)), SpanMask(ratio=0.53, length=10)

    def theirs() -> Any:
        return _compute_mask_indices((clips, frames), None, 0.8, 10).float().mean()

    def ours() -> Any:
        hidden = mask(view, Draw(0, 0, batch.ids)).hidden
        assert hidden is not None
        return len(hidden) / (clips * frames)

    found = in_turn({"theirs": timed(theirs), "ours": timed(ours)}, rounds)
    row = {
        "what": f"span mask, {clips} x {frames}",
        "theirs_s": median(found["theirs"]),
        "ours_s": median(found["ours"]),
    }
    row |= {"wanted": 50, "ratio": row["theirs_s"] / row["ours_s"], "value_gap": None, "gradient_gap": None}
    row |= {"theirs_share": float(theirs()), "ours_share": float(ours())}
    print(row, flush=True)
    return row


# ---------------------------------------------------------------------------------------------- a step, end to end

SIZES = {"width": 256, "depth": 4, "heads": 4, "channels": 256}
SECONDS = (1.0, 8.0)  # clips of the batch: lengths spread evenly between these
RATE, CLIPS = 16000, 8


def step_of(side: str) -> Callable[[], float]:
    """One step of wav2vec 2.0 pre-training: forward, backward, AdamW; the masks and negatives of each side its own."""
    import torch

    torch.manual_seed(0)
    lengths = torch.linspace(*(s * RATE for s in SECONDS), CLIPS).long().tolist()
    waves = [torch.randn(n) for n in lengths]
    make = ours_step if side == "ours" else transformers_step
    loss, parameters = make(waves, lengths)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return float(value)

    return step


def ours_step(waves: Any, lengths: Any) -> Any:
    import torch

    from unlabeled.contract import View
    from unlabeled.draw import Draw
    from unlabeled_audio.batch import AudioBatch, AudioSpec
    from unlabeled_audio.masks import SpanMask
    from unlabeled_audio.objectives.wav2vec2 import Wav2Vec2 as Objective
    from unlabeled_audio.wav2vec2 import Wav2Vec2

    encoder = Wav2Vec2(AudioSpec(RATE, SECONDS[1]), **SIZES)
    objective, mask = Objective(encoder), SpanMask(ratio=0.49, length=10)
    encoder.prepare(objective.needs)
    batch = AudioBatch(torch.arange(len(waves)), torch.cat(waves), tuple(lengths))

    def loss() -> Any:
        view = View(batch, "global", encoder.layout(batch))
        return objective(encoder, [mask(view, Draw(0, 0, batch.ids))]).total

    return loss, [p for m in (encoder, objective) for p in m.parameters() if p.requires_grad]


def transformers_step(waves: Any, lengths: Any) -> Any:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

    from unlabeled_audio.batch import AudioSpec
    from unlabeled_audio.wav2vec2 import Wav2Vec2  # the same settings, read from our encoder's own config

    config = Wav2Vec2Config(**Wav2Vec2(AudioSpec(RATE, SECONDS[1]), **SIZES).model.config.to_diff_dict())
    model = Wav2Vec2ForPreTraining(config).train()
    x = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    seen = (torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]).long()

    def loss() -> Any:
        frames = int(model._get_feat_extract_output_lengths(x.shape[1]))
        short = model._get_feature_vector_attention_mask(frames, seen)
        mask = _compute_mask_indices((len(x), frames), 0.65, 10, attention_mask=short, min_masks=2)
        negatives = _sample_negative_indices((len(x), frames), 100, mask_time_indices=mask)
        out = model(
            x,
            attention_mask=seen,
            mask_time_indices=torch.from_numpy(mask),
            sampled_negative_indices=torch.from_numpy(negatives).long(),
        )
        return out.loss / mask.sum()

    return loss, [p for p in model.parameters() if p.requires_grad]


def memory(side: str) -> dict[str, float]:
    """Peak resident memory of three steps above that of the process before."""
    import torch

    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = step_of(side)
    seconds = [timed(step)() for _ in range(3)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"mb": (peak - before) / 1024, "seconds": median(seconds[1:])}


def end_to_end(rounds: int) -> dict[str, Any]:
    """Seconds a step and peak memory of both sides."""
    found: dict[str, list[dict[str, float]]] = {"theirs": [], "ours": []}
    for number in range(rounds):
        for side in ("theirs", "ours") if number % 2 == 0 else ("ours", "theirs"):
            found[side].append(child(Path(__file__), "--memory", side))
    row: dict[str, Any] = {"what": f"wav2vec 2.0 step, {CLIPS} clips of {SECONDS[0]:g} to {SECONDS[1]:g} s"}
    for side, values in found.items():
        row |= {f"{side}_s": median([v["seconds"] for v in values]), f"{side}_mb": median([v["mb"] for v in values])}
    row |= {"ratio": row["theirs_s"] / row["ours_s"], "memory_ratio": row["theirs_mb"] / row["ours_mb"], "wanted": 1}
    row |= {"value_gap": None, "gradient_gap": None}
    print(row, flush=True)
    return row


# ---------------------------------------------------------------------------------------------- numbers on FSDD


def fsdd(manifest: str, recipe: str, steps: int) -> Any:
    """The recipe on FSDD, with nothing but its length changed."""
    from unlabeled.config import merge, resolve
    from unlabeled.recipes import load_recipe

    over = {
        "data": {"name": "clips", "path": manifest, "label": "digit", "seconds": 0.8},
        "training": {"steps": steps, "epochs": 100_000, "workers": 0, "log_every": 50},
    }
    return resolve(merge(load_recipe("audio", recipe), over), "audio")


def train(manifest: str, recipe: str, steps: int, weights: str) -> dict[str, float]:
    """Train in this process on one thread; the CPU seconds that it took, imports left out."""
    import torch
    from safetensors.torch import save_file

    from unlabeled.build import build
    from unlabeled.training.run import train as run

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        start = time.process_time()
        parts = build(fsdd(manifest, recipe, steps))
        done = run(parts, Path(scratch))
        seconds = time.process_time() - start
    if weights != "-":
        save_file({k: v.contiguous() for k, v in parts.encoder.state_dict().items()}, weights)
    return {"cpu_s": seconds, "steps": done.steps, "planned": steps}


def train_within(manifest: str, recipe: str, minutes: float, weights: Path) -> dict[str, float]:
    """As many steps as fit the budget, by a reading of two short runs."""
    words = ("--train", manifest, recipe)
    short, longer = (child(Path(__file__), *words, str(n), "-")["cpu_s"] for n in (6, 30))
    a_step = (longer - short) / 24
    steps = max(1, int((60 * minutes - (short - 6 * a_step)) / a_step))
    return child(Path(__file__), *words, str(steps), str(weights))


def accuracy(train_x: Any, train_y: Any, test_x: Any, test_y: Any) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(train_x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=500).fit(scale.transform(train_x), train_y)
    return 100 * float(model.score(scale.transform(test_x), test_y))


def numbers_of(x: Any, data: Any) -> dict[str, list[float]]:
    """Digit on the set's own split, with ten clips a digit, for an unheard speaker; and who speaks."""
    import numpy as np

    x, y, speaker, test = x.numpy(), data.labels.numpy(), data.speakers.numpy(), data.test.numpy()
    train, held = np.flatnonzero(~test), np.flatnonzero(test)
    few = []
    for draw in range(DRAWS):
        random = np.random.default_rng(draw)
        chosen = np.concatenate([random.permutation(train[y[train] == c])[:SHOTS] for c in range(10)])
        few.append(accuracy(x[chosen], y[chosen], x[held], y[held]))
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
    from unlabeled_audio.views import Clean

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


def main() -> None:
    args = arguments(__doc__, rounds=5, only="speed,numbers", minutes=5.0, recipes=RECIPE, weights="bench/weights")
    kept = RESULTS / "audio.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    found = {key: found[key] for key in ("speed", "numbers", "trained", "minutes") if key in found}
    if "speed" in args.only:
        import torch

        torch.set_num_threads(1)
        found["speed"] = [hubert(args.rounds), wav2vec2(args.rounds), spans(4 * args.rounds), end_to_end(args.rounds)]
    if "numbers" in args.only:
        folder = Path(args.weights)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = str(args.data / "audio" / "fsdd" / "meta.csv")
        weights = {name: folder / f"audio-{name}.safetensors" for name in args.recipes.split(",")}
        found["trained"] = {n: train_within(manifest, n, args.minutes, file) for n, file in weights.items()}
        found |= {"numbers": measure(manifest, weights), "minutes": args.minutes}
    save("audio", found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print(json.dumps(memory(sys.argv[2])))
    elif sys.argv[1:2] == ["--train"]:
        print(json.dumps(train(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])))
    else:
        main()
