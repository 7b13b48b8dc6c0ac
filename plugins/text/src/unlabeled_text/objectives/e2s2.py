"""E2S2, https://arxiv.org/abs/2205.14912: a sequence-to-sequence model whose encoder has losses of its own.

Beside restoring the target word by word, the encoder predicts the words that the mask chose in the source (locally)
and finds the vector of the whole text among those of the batch (globally). Differs: the corruption is that of the mask,
which keeps the length, so that the encoder's rows have targets; the paper also shuffles.

    # B samples, T packed rows of the target, H rows that the mask chose, D features
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import union_mean
from unlabeled_text.decoders.sequence import decoder_for, pair_of, restore_rows
from unlabeled_text.ops.contrast import sentence_nce
from unlabeled_text.ops.vocabulary import VocabularyHead, head_rows, hit_rate, table_of, word_loss


class E2S2(nn.Module):
    """Sequence-to-sequence restoring with local and global losses at the encoder.

    Args:
        local: weight of the encoder's masked words, at least 0.
        contrast: weight of the encoder's contrast, at least 0; global in the paper.
        temperature: of the contrast, above 0.
        depth: blocks of the decoder, where the encoder brings none; at least 1.
        heads: attention heads of the decoder; 0 = one for each 64 features.
        dropout: of the decoder, in [0, 1).
    """

    def __init__(
        self,
        encoder: Any,
        *,
        local: float = 1.0,
        contrast: float = 0.1,
        temperature: float = 0.05,
        depth: int = 2,
        heads: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, local=local, contrast=contrast)
        self.needs = Needs(
            views={"source": 1, "target": 1},
            hidden=True,
            vocabulary=1,
            encoder=frozenset({"tokens", "mask"}),
            batch=2,
            couples=True,
        )
        self.local, self.contrast, self.temperature = local, contrast, temperature
        self.head = VocabularyHead(encoder.dim, table_of(encoder))
        self.decoder = decoder_for(encoder, depth, heads, "rows", dropout)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source, target = pair_of(views)
        features = encoder(source)
        logits, words = restore_rows(self.decoder, encoder, features, target)
        restored = union_mean(word_loss(logits, words))
        local = union_mean(word_loss(*head_rows(features.tokens, encoder, self.head, source)))
        whole = encoder(source.clean()).pooled
        contrast = sentence_nce(features.pooled, whole, self.temperature)
        parts = {"restored": restored, "local": local, "contrast": contrast, "hits": hit_rate(logits, words)}
        total = restored + self.local * local + self.contrast * contrast
        return Loss(total, {name: part.detach() for name, part in parts.items()})
