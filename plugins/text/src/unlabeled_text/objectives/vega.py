"""Vega v1's mixture, https://arxiv.org/abs/2302.09268: replaced token detection, then a contrast of sentences too.

Differs: the encoder is any, where the paper has disentangled attention of 1.3 billion parameters; what the paper does
after pre-training (transductive and self-calibrated tuning on GLUE) is no part of it.

    # B samples, T packed rows, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.errors import above, at_least, within
from unlabeled_text.objectives.rtd import RTD
from unlabeled_text.ops.contrast import Twins, globals_of, sentence_nce


class Vega(nn.Module):
    """Replaced token detection, joined by a contrast in the last part of training.

    Args:
        first: share of training before the contrast sets in, in [0, 1].
        contrast: weight of the contrast beside ELECTRA's loss, at least 0.
        temperature: of the contrast, above 0.
        share: width of the generator as a share of the encoder's, in (0, 1].
        depth: blocks of the generator, at least 1.
        weight: of the encoder's loss beside the generator's.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        first: float = 0.7,
        contrast: float = 1.0,
        temperature: float = 0.05,
        share: float = 0.25,
        depth: int = 2,
        weight: float = 50.0,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, contrast=contrast)
        within(0, 1, first=first)
        self.needs = Needs(
            views={"global": 2}, hidden=True, vocabulary=1, encoder=frozenset({"tokens"}), batch=2, couples=True
        )
        self.first, self.contrast, self.temperature = first, contrast, temperature
        self.rtd = RTD(encoder, share=share, depth=depth, weight=weight)
        self.twins = Twins(encoder)
        self.done: Tensor
        self.register_buffer("done", torch.zeros(()))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pair = globals_of(views)[:2]
        detected = self.rtd(encoder, pair[:1])
        if float(self.done) < self.first:
            return detected
        clean = [view.clean() for view in pair]
        self.twins.check(clean)
        contrast = sentence_nce(encoder(clean[0]).pooled, encoder(clean[1]).pooled, self.temperature)
        parts = {**detected.parts, "contrast": contrast.detach()}
        return Loss(detected.total + self.contrast * contrast, parts)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Where training stands decides whether the contrast has set in."""
        self.done.fill_(progress.fraction)
        self.rtd.after_step(encoder, progress)
