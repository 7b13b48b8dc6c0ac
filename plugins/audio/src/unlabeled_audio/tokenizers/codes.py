"""Labels that a trained quantizer gives: of BEATs' tokenizer, of augmentation-invariant units, of vq-wav2vec.

BEATs https://arxiv.org/abs/2212.09058, invariant units https://arxiv.org/abs/2209.15483, vq-wav2vec
https://arxiv.org/abs/1910.05453. The run's encoder reads the clip, and what it trained beside (:mod:`.heads`) makes
units of the rows: targets of BEATs' later iterations, and of the next iteration of invariant units.

    # T packed rows
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.build import frozen
from unlabeled.contract import Layout, View
from unlabeled.errors import UsageError
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.tokenizers.heads import Directions, Quantizer, quantizer_of

ENTRIES, WIDTH = 64, 16  # without a run


class Codes:
    """Units of a trained quantizer, one a row, or one of each of its codebooks.

    Args:
        run: run folder of recipe beats_tokenizer, invariant_units or vq_wav2vec, whose encoder has rows like this
            one's; empty = random codes of the encoder's own start, for tests.
    """

    width = 0

    def __init__(self, spec: AudioSpec, encoder: Any, *, run: str = "") -> None:
        self.encoder = frozen("audio", run) if run else copy.deepcopy(encoder).requires_grad_(False).eval()
        self.run = run
        self.quantizer = quantizer_of(Path(run)) if run else _random(self.encoder.dim)
        if self.quantizer.dim != self.encoder.dim:
            raise ValueError(f"run {run} quantizes {self.quantizer.dim} features; its encoder has {self.encoder.dim}")
        self.vocabulary = self.quantizer.vocabulary

    @torch.no_grad()
    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[None, Tensor]:
        heard = batch if batch.target is None else replace(batch, wave=batch.target, mel=None)
        device = batch.wave.device
        self.encoder.to(device)
        own = self.encoder.layout(heard)
        if own.lengths != layout.lengths:
            raise UsageError(
                f"the tokenizer of {self.run or 'this encoder'} has {own.total} rows where the encoder has "
                f"{layout.total}: both need patches of the same size"
            )
        ids: Tensor = self.quantizer.to(device)(self.encoder(View(heard, "clean", own)).tokens, own)
        return None, ids


def _random(dim: int) -> Quantizer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        enter, entries = nn.Linear(dim, WIDTH).requires_grad_(False), F.normalize(torch.randn(ENTRIES, WIDTH), dim=1)
    return Directions(enter, entries).eval()
