"""One step of wav2vec 2.0 pre-training, end to end, beside transformers' ``Wav2Vec2ForPreTraining`` on the same clips.

Forward, backward and AdamW with the same sizes, as each side is used: masks and negatives are its own, and
transformers pads the batch. CPU seconds and peak memory, each side in a process of its own, in turn. Part of
``python bench/audio.py``.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audio_losses import timed
from common import child, median, peak

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
    from unlabeled.objectives.wav2vec2 import Wav2Vec2 as Objective
    from unlabeled_audio.batch import AudioBatch, AudioSpec
    from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2
    from unlabeled_audio.masks.spans import SpanMask

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
    from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2  # the same settings, read from our encoder's own config

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
    """Peak resident memory of two steps above that of the process before, and CPU seconds of the second."""
    import torch

    torch.set_num_threads(1)
    before = peak()
    step = step_of(side)
    seconds = [timed(step)() for _ in range(2)]
    return {"mb": peak() - before, "seconds": seconds[1]}


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


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print(json.dumps(memory(sys.argv[2])))
    else:
        sys.exit("this is a part of bench/audio.py: python bench/audio.py --only speed")
