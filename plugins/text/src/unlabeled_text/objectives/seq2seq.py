"""Restoring a text word by word: T5, UL2, BART, code-switching and hyphens, which differ by their views.

The encoder reads the source; a decoder reads the target so far, attends to the encoder, and predicts the next word.

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
from unlabeled_text.decoders.sequence import decoder_for, pair_of, restore_rows
from unlabeled_text.ops.vocabulary import hit_rate, word_loss


class Seq2Seq(nn.Module):
    """Predict the target, word by word, from the source: T5, UL2, BART and the like, by their views.

    Args:
        depth: blocks of the decoder, where the encoder brings none; at least 1.
        heads: attention heads of the decoder; 0 = one for each 64 features.
        dropout: of the decoder, in [0, 1).
    """

    def __init__(self, encoder: Any, *, depth: int = 2, heads: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.needs = Needs(views={"source": 1, "target": 1}, encoder=frozenset({"tokens"}))
        self.decoder = decoder_for(encoder, depth, heads, "rows", dropout)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source, target = pair_of(views)
        logits, words = restore_rows(self.decoder, encoder, encoder(source), target)
        return Loss(union_mean(word_loss(logits, words)), {"hits": hit_rate(logits, words)})
