"""Audio losses and masks beside torchaudio's and transformers': the same values, and the ratio of their times.

Both sides run in turn in one process on one thread and give the same values and gradients, to rounding. Part of
``python bench/audio.py``.
"""

import time
from collections.abc import Callable
from typing import Any

from common import in_turn, median

HUBERT = (1500, 504, 256)  # frames, units, width
WAV2VEC2 = (8, 781, 100, 256)  # clips, frames, distractors, width


def timed(work: Callable[[], Any], times: int = 1) -> Callable[[], float]:
    """CPU seconds of a call: on one thread they are what a quiet machine takes, and a busy one does not blur them.

    What takes less than a millisecond is called several ``times`` in a row, on both sides.
    """

    def run() -> float:
        start = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - start) / times

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

    from unlabeled.nn.units import hubert_loss

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
    from unlabeled.objectives.wav2vec2 import contrastive_loss, count_distractors

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
    from unlabeled_audio.masks.spans import SpanMask

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

    found = in_turn({"theirs": timed(theirs, 10), "ours": timed(ours, 10)}, rounds)
    row = {
        "what": f"span mask, {clips} x {frames}",
        "theirs_s": median(found["theirs"]),
        "ours_s": median(found["ours"]),
    }
    row |= {"wanted": 50, "ratio": row["theirs_s"] / row["ours_s"], "value_gap": None, "gradient_gap": None}
    row |= {"theirs_share": float(theirs()), "ours_share": float(ours())}
    print(row, flush=True)
    return row
