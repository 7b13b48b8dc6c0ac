"""Vega v1's mixture, https://arxiv.org/abs/2302.09268: replaced token detection, then a contrast of sentences too.

Differs: the encoder is any, where the paper has disentangled attention of 1.3 billion parameters; what the paper does
after pre-training (transductive and self-calibrated tuning on GLUE) is no part of it.

    # B samples, T packed rows, D features
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least, within
from unlabeled.nn.clock import Clock
from unlabeled_text.ops.contrast import Twins, sentence_nce
from unlabeled_text.ops.replaced import Generator, ReplacedHead, detect


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

    former: ClassVar[dict[str, str]] = {"rtd.": ""}  # it held an objective of replaced tokens

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
        above(0, temperature=temperature, share=share)
        at_least(0, contrast=contrast, weight=weight)
        within(0, 1, first=first, share=share)
        self.needs = Needs(
            views={"global": 2}, hidden=True, vocabulary=1, encoder=frozenset({"tokens"}), batch=2, couples=True
        )
        self.first, self.contrast, self.temperature, self.weight = first, contrast, temperature, weight
        self.generator = Generator(encoder, share, depth)
        self.head = ReplacedHead(encoder.dim)
        self.twins, self.clock = Twins(encoder), Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pair = role(views, "global")[:2]
        clean = [view.clean() for view in pair]
        if self.contrast > 0 and self.first < 1:  # at once: the contrast may be hours away
            self.twins.check(clean)
        detected = detect(encoder, self.generator, self.head, pair[:1], self.clock.step, weight=self.weight)
        if not self.clock.past(self.first):
            return detected
        contrast = sentence_nce(encoder(clean[0]).pooled, encoder(clean[1]).pooled, self.temperature)
        parts = {**detected.parts, "contrast": contrast.detach()}
        return Loss(detected.total + self.contrast * contrast, parts)
