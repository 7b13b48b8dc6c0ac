"""Masked language modeling: BERT, https://arxiv.org/abs/1810.04805, and what differs from it by its mask alone.

The words at the rows that the mask chose are predicted from what the encoder saw: [MASK], a random word or the word
itself (BERT), whole words, spans (SpanBERT without its boundary objective, https://arxiv.org/abs/1907.10529), or only
random words (swapped language modeling, https://arxiv.org/abs/2309.08272). Differs: no next-sentence prediction; the
mean is over all chosen rows of all ranks.

    # T packed rows, H predicted rows, V words, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled_text.ops.vocabulary import VocabularyHead, hit_rate, mlm_rows, table_of, word_loss


class MLM(nn.Module):
    """Predict the words that the mask chose; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 1}, hidden=True, vocabulary=1, encoder=frozenset({"tokens", "mask"}))
        self.head = VocabularyHead(encoder.dim, table_of(encoder))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        logits, words = zip(*(mlm_rows(encoder, self.head, view) for view in views), strict=True)
        logits_HV, words_H = torch.cat(logits), torch.cat(words)
        return Loss(union_mean(word_loss(logits_HV, words_H)), {"hits": hit_rate(logits_HV, words_H)})
