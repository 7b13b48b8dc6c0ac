"""Units filled in step by step, the surest first, and sound from log-mel frames.

Metis, https://arxiv.org/abs/2502.03128, decodes as MaskGIT does, https://arxiv.org/abs/2202.04200: all hidden units are
drawn at once, the least sure are hidden again, fewer each time by a cosine. An inverse of the mel filters and Griffin
and Lim's phases, https://doi.org/10.1109/TASSP.1984.1164317, make sound. Differs: Metis' second stage, from these units
to those of a codec, does not exist here, so a unit sounds as the mean log-mel frame of its cluster.

    # T packed rows, G clips, V units, M mel bands, F frames, K frequencies
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Layout, Rows
from unlabeled.draw import Draw
from unlabeled.nn.codebooks import gumbel_noise
from unlabeled_audio.ops.frontends import FLOOR, MEAN, STD, mel_filters, unit_hann

Score = Callable[[Tensor, Rows], Tensor]


@torch.no_grad()
def fill_in(
    score: Score, ids_T: Tensor, hidden: Rows, layout: Layout, draw: Draw, *, steps: int, temperature: float = 1.0
) -> Tensor:
    """``int64[T]``: units with those at ``hidden`` filled in over ``steps`` steps, or until none is hidden.

    ``score(ids_T, rows)`` are scores ``[H, V]`` of the hidden rows, given the others. Temperature 0 takes the best.
    """
    ids, rows, whole = ids_T.clone(), hidden, torch.tensor(hidden.lengths)
    for step in range(steps):
        if not len(rows):
            break
        scores = score(ids, rows)
        noise = gumbel_noise(draw.at(step), layout.group[rows.index], layout.within[rows.index], scores.shape[1])
        drawn = (scores + temperature * noise).argmax(1)
        sure = scores.log_softmax(1).gather(1, drawn[:, None])[:, 0]
        ids[rows.index] = drawn
        left = tuple((whole * math.cos(math.pi / 2 * (step + 1) / steps)).long().tolist())
        clips = zip(rows.index.split(rows.lengths), sure.split(rows.lengths), left, strict=True)
        again = [index[torch.argsort(part, stable=True)[:count]].sort().values for index, part, count in clips]
        rows = Rows(torch.cat(again), left)
    return ids


def sound_of(log_mel_FM: Tensor, rate: int, window: int, hop: int, rounds: int = 32) -> Tensor:
    """``float32[S]``: sound whose standardized log-mel frames are near to these."""
    from torchaudio.functional import griffinlim

    size, filters_KM = mel_filters(rate, window, log_mel_FM.shape[1])
    power_FM = (torch.exp(log_mel_FM * STD + MEAN) - FLOOR).clamp(min=0)
    # a frequency has the power of the bands that it lies in
    power_KF = filters_KM / filters_KM.sum(1, keepdim=True).clamp(min=1e-9) @ power_FM.T
    wave = griffinlim(power_KF, unit_hann(window), size, hop, window, 2.0, rounds, 0.99, None, False)
    return F.pad(wave, (window // 2, window // 2))  # there, frames are centered
