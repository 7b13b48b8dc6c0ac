"""A Transformer that reads discrete units of sound and no sound: BERT on codes, and masked generative models of units.

vq-wav2vec's second stage, https://arxiv.org/abs/1910.05453 (section 4): the codes of a trained vq-wav2vec are words,
and a BERT learns to fill in spans of them. Metis' first stage, https://arxiv.org/abs/2502.03128: units of a pre-trained
encoder are filled in, whatever their number. What is heard is quantized first: by the codebooks of a run of
``vq_wav2vec``, or by k-means of the features of another run's encoder or of log-mel frames, which tokenizer ``heard``
fits before training and then gives as targets. Differs: the entries of several codebooks are embedded and predicted
each on its own, where vq-wav2vec makes one word of each pair; k-means where Metis trains a VQ of w2v-BERT features.

    # T packed rows, K codebooks, V units of each, F features that are clustered, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from unlabeled.build import frozen
from unlabeled.contract import Data, Features, Hide, Layout, View
from unlabeled.errors import UsageError, above
from unlabeled.nn.init import sincos, xavier
from unlabeled.nn.kmeans import nearest, stream
from unlabeled.nn.rows import drop, edit
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.encoders.rows import AudioEncoder, finish, state, step_layout
from unlabeled_audio.encoders.vit import through
from unlabeled_audio.ops.frontends import Spectrogram, frame_counts
from unlabeled_audio.tokenizers.heads import codebooks_of
from unlabeled_audio.tokenizers.units import HELD, rows_of


class UnitTransformer(AudioEncoder):
    """A Transformer over discrete units.

    Args:
        run: run folder whose codes are read: of recipe vq_wav2vec those of its codebooks, of another k-means units of
            its encoder; empty = k-means units of log-mel frames.
        count: k-means units, V.
        layer: block of that encoder whose features are clustered, from 0; -1 = the last.
        width: D, features of a row, a multiple of heads.
        depth: number of blocks.
        heads: attention heads.
    """

    centers: Tensor

    def __init__(
        self,
        spec: AudioSpec,
        *,
        run: str = "",
        count: int = 100,
        layer: int = -1,
        width: int = 192,
        depth: int = 4,
        heads: int = 3,
    ) -> None:
        super().__init__()
        above(1, count=count)
        if min(width, depth, heads) < 1 or width % heads:
            raise ValueError(f"width {width}, depth {depth}, heads {heads}: from 1 on, heads a divisor of the width")
        self.spec, self.run, self.layer, self.dim, self.cell = spec, run, layer, width, spec.mels
        self.source = frozen("audio", run) if run else None
        self.quantizer = codebooks_of(Path(run)) if run else None
        self.window, self.stride = spec.window_samples + spec.hop_samples, 2 * spec.hop_samples
        if self.source is not None:
            if self.source.bands > 1:
                raise ValueError(f"the encoder of {run} has several rows a step; units are read one a step")
            self.window, self.stride = self.source.window, self.source.stride
        self.front = Spectrogram(replace(spec, front="logmel"), self.window, self.stride)
        self.books, self.vocabulary = 1, count
        if self.quantizer is not None:
            self.books, self.vocabulary = self.quantizer.groups, self.quantizer.entries
        # without tokenizer heard, which fits them, units are those of random centers
        self.register_buffer("centers", torch.randn(count, spec.mels if self.source is None else self.source.dim))
        self.can = frozenset({"tokens", "mask", "drop", "swap", "layers"})
        self.embed = nn.Embedding(self.books * self.vocabulary, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        xavier(self.blocks)  # and not what is read

    def train(self, mode: bool = True) -> UnitTransformer:
        """What is read stays in evaluation mode."""
        super().train(mode)
        for part in (self.source, self.quantizer):
            if part is not None:
                part.eval()
        return self

    def layout(self, batch: AudioBatch) -> Layout:
        if self.source is not None:
            found: Layout = self.source.layout(batch)
            return found
        return step_layout(frame_counts(batch.lengths, self.window, self.stride), 1, batch.wave.device)

    @torch.no_grad()
    def features(self, batch: AudioBatch, layout: Layout) -> Tensor:
        """``[T, F]``: what is quantized."""
        if self.source is None:
            return self.front(batch.wave, batch.lengths)
        view = View(batch, "clean", layout)
        if self.quantizer is not None:
            tokens: Tensor = self.source(view).tokens
            return tokens
        try:
            found: Tensor = self.source(view, layers=(self.layer,)).layers[0].tokens
        except IndexError as error:
            raise UsageError(f"layer is {self.layer}, and the encoder of {self.run} has fewer") from error
        return found

    @torch.no_grad()
    def codes(self, batch: AudioBatch, layout: Layout) -> Tensor:
        """``int64[T, K]``: the units of each row."""
        x = self.features(batch, layout)
        if self.quantizer is not None:
            ids: Tensor = self.quantizer(x)[1]
            return ids
        return nearest(x.float(), self.centers)[:, None]

    def fit(self, data: Data, seed: int, most: int) -> None:
        """Learn k-means units from the clips that training sees; codebooks of a run stay as they are."""
        if self.quantizer is not None:
            return
        parts = rows_of(data, self.spec, self, self.features, seed, most)
        try:
            self.centers.copy_(stream(parts, self.vocabulary, seed, first=HELD * self.vocabulary))
        except ValueError as error:
            raise UsageError(f"encoder units: {error} (--encoder.count)") from error

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        if batch.mel is not None:
            raise ValueError(
                "these views alter spectrograms, and units are made of the waveform: choose others (--views)"
            )
        layout = view.layout or self.layout(batch)
        place = self.vocabulary * torch.arange(self.books, device=batch.wave.device)
        ids = self.codes(batch, layout) if view.shown is None else view.shown.reshape(layout.total, self.books)
        x_TD = self.embed(ids + place).sum(1)
        x_TD = edit(x_TD, view, hide, self.mask_token)
        x_TD = x_TD + sincos(layout.position, self.dim).to(x_TD.dtype)
        x_TD, layout, kept = drop(x_TD, view, layout, hide)
        states = []
        for block in self.blocks:
            x_TD, feed = through(block, x_TD, layout)
            states.append(state(x_TD, layout, kept, feed))
        return finish(self.norm(x_TD), layout, kept, states, layers)
