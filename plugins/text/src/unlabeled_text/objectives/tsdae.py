"""TSDAE, https://arxiv.org/abs/2104.06979: restore a text of which words are deleted from one vector.

Which words are deleted is for the views to say. Differs: the decoder is trained from nothing, tied to the encoder's
word embeddings; the mean is over all target words of all ranks.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled_text.decoders.sequence import VectorDecoder, pair_of, restore_rows
from unlabeled_text.ops.vocabulary import hit_rate, table_of, word_loss


class TSDAE(nn.Module):
    """Restore a text from one vector of what is left of it.

    Args:
        depth: blocks of the decoder, at least 1; as many as the encoder's in the paper.
        heads: attention heads of the decoder; 0 = one for each 64 features.
        dropout: of the decoder, in [0, 1).
    """

    def __init__(self, encoder: Any, *, depth: int = 2, heads: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.needs = Needs(views={"source": 1, "target": 1})
        self.decoder = VectorDecoder(table_of(encoder), encoder.dim, depth, heads, dropout=dropout)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source, target = pair_of(views)
        logits, words = restore_rows(self.decoder, encoder, encoder(source), target)
        return Loss(union_mean(word_loss(logits, words)), {"hits": hit_rate(logits, words)})
