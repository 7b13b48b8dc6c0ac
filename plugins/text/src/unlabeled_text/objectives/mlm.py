"""Masked language modeling: BERT, https://arxiv.org/abs/1810.04805, and what differs from it by its mask alone.

The words at the rows that the mask chose are predicted from what the encoder saw: [MASK], a random word or the word
itself (BERT), whole words, spans (SpanBERT without its boundary objective, https://arxiv.org/abs/1907.10529), or only
random words (swapped language modeling, https://arxiv.org/abs/2309.08272). Differs: no next-sentence prediction; the
mean is over all chosen rows of all ranks.

    # T packed rows, H predicted rows, V words, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.rows import target_rows
from unlabeled_text.ops.vocabulary import VocabularyHead, hit_rate, table_of, tokens_of, word_loss


def mlm_rows(encoder: Any, head: VocabularyHead, view: View) -> tuple[Tensor, Tensor]:
    """Logits ``[H, V]`` at the rows that a mask chose, and the words ``[H]`` that stood there."""
    return head_rows(encoder(view).tokens, encoder, head, view)


def head_rows(tokens_TD: Tensor, encoder: Any, head: VocabularyHead, view: View) -> tuple[Tensor, Tensor]:
    """The same, of tokens that the encoder gave already."""
    index = target_rows(view)
    return head(tokens_TD[index], table_of(encoder)), tokens_of(view)[index]


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
