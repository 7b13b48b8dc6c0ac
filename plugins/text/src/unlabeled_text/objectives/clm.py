"""Causal language modeling, GPT-2 (https://openai.com/research/better-language-models).

Each word is predicted from those before it, by the encoder's own word embeddings.

    # H rows that have a next word, V words
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled_text.ops.vocabulary import VocabularyHead, hit_rate, next_words, refuse_two_sided, table_of, word_loss


class CLM(nn.Module):
    """Predict the next word; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        refuse_two_sided(encoder, "clm")
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.head = VocabularyHead(encoder.dim, table_of(encoder), plain=True)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        logits_HV, words_H = next_words(encoder, self.head, views[0])
        return Loss(union_mean(word_loss(logits_HV, words_H)), {"hits": hit_rate(logits_HV, words_H)})
