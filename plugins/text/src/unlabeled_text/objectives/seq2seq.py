"""Restoring a text word by word: T5, UL2, BART, code-switching and hyphens, which differ by their views.

The encoder reads the source; its decoder reads the target so far, attends to the encoder, and predicts the next word.
Both are one model, saved and exported together, which generates (``unlabeled text generate``).

- T5, https://arxiv.org/abs/1910.10683: spans of the source are sentinels, and the target spells them out.
- UL2, https://arxiv.org/abs/2205.05131: a mixture of such denoisers, each announced by a mode token.
- BART, https://arxiv.org/abs/1910.13461: noise of several kinds, and the target is the whole text.
- CSR, https://arxiv.org/abs/2204.07834 (CSR4mBART): words are replaced by their translations; restore the original.
- CompoundPiece, https://arxiv.org/abs/2305.14214: hyphens are taken out of words; put them back.

Differs: the mean is over all target words of all ranks.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled_text.decoders.sequence import OwnDecoder, pair_of, restore_rows
from unlabeled_text.ops.vocabulary import hit_rate, word_loss


class Seq2Seq(nn.Module):
    """Predict the target, word by word, from the source, by the encoder's own decoder: T5, UL2, BART and the like."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.needs = Needs(views={"source": 1, "target": 1}, encoder=frozenset({"tokens"}))
        self.decoder = OwnDecoder(encoder)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source, target = pair_of(views)
        logits, words = restore_rows(self.decoder, encoder, encoder(source), target)
        return Loss(union_mean(word_loss(logits, words)), {"hits": hit_rate(logits, words)})
