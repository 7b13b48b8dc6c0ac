"""ELECTRA, https://arxiv.org/abs/2003.10555: a small generator fills hidden words, the encoder finds which it made.

The generator reads [MASK] and learns by masked language modeling; one word is drawn from its softmax at each chosen
row; the encoder reads the result and labels every row, specials too. A draw that equals the original is labeled
original, and no gradient flows through the draw. Word embeddings are shared. Differs: the draw follows from (step,
sample, place), so that it is alike on any number of ranks; the generator has sine-cosine positions and pre-norm blocks.

    # B samples, T packed rows, D features
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.errors import above, at_least, within
from unlabeled.nn.clock import Clock
from unlabeled_text.ops.replaced import Generator, ReplacedHead, detect


class RTD(nn.Module):
    """Replaced token detection.

    Args:
        share: width of the generator as a share of the encoder's, in (0, 1]; 1/4 to 1/2 in the paper.
        depth: blocks of the generator, at least 1.
        weight: of the encoder's loss beside the generator's; lambda in the paper, 50.
        temperature: of the softmax that replacements are drawn from, above 0.
        dropout: of the generator, in [0, 1).
    """

    def __init__(
        self,
        encoder: Any,
        *,
        share: float = 0.25,
        depth: int = 2,
        weight: float = 50.0,
        temperature: float = 1.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        at_least(0, weight=weight)
        above(0, temperature=temperature, share=share)
        within(0, 1, share=share)
        self.needs = Needs(views={"global": 1}, hidden=True, vocabulary=1, encoder=frozenset({"tokens"}))
        self.weight, self.temperature = weight, temperature
        self.generator = Generator(encoder, share, depth, dropout)
        self.head = ReplacedHead(encoder.dim)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        parts = (encoder, self.generator, self.head)
        return detect(*parts, views, self.clock.step, weight=self.weight, temperature=self.temperature)
