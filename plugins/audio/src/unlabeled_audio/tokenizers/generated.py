"""Clips whose units a run of recipe metis has filled in: how many are right, and how they sound.

# T packed rows, M mel bands, V units
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import soundfile
import torch
from torch import Tensor

from unlabeled.contract import Data, Rows, View
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled.masks.rows import choose, keys, share
from unlabeled.probes.embedding import evaluating, take
from unlabeled.runs.pretrained import Pretrained
from unlabeled_audio.encoders.units import UnitTransformer
from unlabeled_audio.ops.generation import fill_in, sound_of
from unlabeled_audio.tokenizers.heads import scores_of

if TYPE_CHECKING:
    from unlabeled_audio.commands import Filling


@torch.no_grad()
def write_generated(run: Pretrained, data: Data, filling: Filling) -> str:
    """Fill in a share of the units of some clips, write their sound, and say how near they come."""
    out = filling.out
    encoder: Any = run.encoder
    if not isinstance(encoder, UnitTransformer) or encoder.source is not None:
        raise UsageError(f"{run.folder} has no units of log-mel frames (recipe metis without --encoder.run) to hear")
    units_VD = scores_of(run.folder)
    held = torch.arange(len(data)) if data.test is None else data.test.nonzero()[:, 0]
    batch: Any = data.__getitems__(held[: filling.clips].tolist())
    clean: Any = take(run.views, batch, 1, 0)[0].batch
    layout, draw = encoder.layout(clean), Draw(filling.seed, 0, clean.ids)
    counts = tuple(share(filling.share, (n,))[0] for n in layout.lengths)
    rows = choose(keys(layout, draw), layout, counts)
    truth = encoder.codes(clean, layout)[:, 0]

    def score(ids: Tensor, rows: Rows) -> Tensor:
        given = View(clean, "global", layout, hidden=rows, shown=ids)
        found: Tensor = encoder(given, hide="mask").tokens[rows.index] @ units_VD.T
        return found

    with evaluating(encoder):
        made = fill_in(score, truth, rows, layout, draw, steps=filling.steps, temperature=filling.temperature)
    out.mkdir(parents=True, exist_ok=True)
    for name, ids in (("", made), ("-given", truth)):
        for number, mel in zip(batch.ids.tolist(), encoder.centers[ids].split(layout.lengths), strict=True):
            wave = sound_of(mel, run.spec.rate, encoder.window, encoder.stride)
            soundfile.write(
                out / f"{number}{name}.wav", (wave / wave.abs().max().clamp(min=1e-5)).numpy(), run.spec.rate
            )
    frames = encoder.front(clean.wave, clean.lengths)
    right = (made == truth)[rows.index].float().mean()
    frequent = torch.bincount(truth).max() / len(truth)
    off, given = ((encoder.centers[ids] - frames)[rows.index].abs().mean() for ids in (made, truth))
    return (
        f"{len(batch)} clips in {out}: {100 * right:.1f} % of {len(rows)} hidden units right (the most frequent one: "
        f"{100 * frequent:.1f} %), log-mel frames {off:.2f} off (their own units: {given:.2f})"
    )
