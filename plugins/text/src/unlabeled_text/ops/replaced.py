"""Replaced words: a generator that makes them, and the head that tells them from originals.

ELECTRA, https://arxiv.org/abs/2003.10555.

    # G groups, T packed rows, H rows that a mask chose, V words, D features, E of the word embeddings
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, View
from unlabeled.nn.chance import row_words
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled_text.decoders.transformer import Transformer, narrower
from unlabeled_text.ops.purposes import Use
from unlabeled_text.ops.vocabulary import (
    VocabularyHead,
    layout_of,
    sample_words,
    shown_of,
    table_of,
    tokens_of,
    word_loss,
)


class ReplacedHead(nn.Module):
    """ELECTRA's head: Linear, GELU, Linear to one logit; positive = replaced."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(dim, dim), nn.Linear(dim, 1)

    def forward(self, x_HD: Tensor) -> Tensor:
        """Logits ``[H]``."""
        return self.out(F.gelu(self.hidden(x_HD))).squeeze(-1)


def replaced_loss(logits_H: Tensor, replaced_H: Tensor) -> Tensor:
    """Binary cross-entropy of each row; ``replaced_H`` True = not the original: ``[H]``."""
    logits_H = full(logits_H)
    return F.binary_cross_entropy_with_logits(logits_H, replaced_H.to(logits_H.dtype), reduction="none")


@torch.no_grad()
def found_rate(logits_H: Tensor, replaced_H: Tensor) -> Tensor:
    """Share of the replaced rows that are found, 0 where none is."""
    return ((logits_H > 0) & replaced_H).float().sum() / replaced_H.float().sum().clamp(min=1)


class Generator(nn.Module):
    """A small masked language model over the encoder's word embeddings, ``share`` of its width."""

    def __init__(self, encoder: Any, share: float, depth: int, dropout: float = 0.1) -> None:
        super().__init__()
        table_VE, width = table_of(encoder), narrower(encoder.dim, share)
        narrow = table_VE.shape[1]
        self.mask = nn.Parameter(torch.randn(narrow) * 0.02)
        self.embed = nn.Linear(narrow, width)
        self.blocks = Transformer(width, depth, dropout=dropout)
        self.head = VocabularyHead(width, table_VE)

    def forward(self, view: View, table_VE: Tensor, index_H: Tensor) -> Tensor:
        """Logits ``[H, V]`` at rows ``index_H``."""
        layout = view.layout
        assert layout is not None
        x_TE = table_VE[shown_of(view)]
        if view.hidden is not None:
            x_TE = torch.where(view.hidden.flags(layout.total)[:, None], self.mask.to(x_TE.dtype), x_TE)
        return self.head(self.blocks(self.embed(x_TE), layout)[index_H], table_VE)


def fill(
    logits_HV: Tensor, view: View, index_H: Tensor, step: Tensor, number: int = 0, temperature: float = 1.0
) -> View:
    """The view with a draw from the generator's softmax at each chosen row, and nothing hidden."""
    assert view.layout is not None
    words = row_words(view, view.layout, step, Use.SAMPLE, number)[index_H]
    made_H = sample_words(logits_HV.detach() / temperature, words)
    tokens_T = tokens_of(view)
    return replace(view, hidden=None, ids=tokens_T, shown=tokens_T.index_copy(0, index_H, made_H))


def detect(
    encoder: Any,
    generator: Generator,
    head: ReplacedHead,
    views: Sequence[View],
    step: Tensor,
    *,
    weight: float,
    temperature: float = 1.0,
) -> Loss:
    """ELECTRA's loss: the generator's at the rows that the mask chose, plus ``weight`` times the encoder's at all."""
    made, logits, replaced = [], [], []
    for number, view in enumerate(views):
        view = replace(view, layout=layout_of(encoder, view))
        index_H, words_T = target_rows(view), tokens_of(view)
        logits_HV = generator(view, table_of(encoder), index_H)
        filled = fill(logits_HV, view, index_H, step, number, temperature)
        logits.append(head(encoder(filled).tokens))
        made.append(word_loss(logits_HV, words_T[index_H]))
        replaced.append(shown_of(filled) != words_T)
    logits_T, replaced_T = torch.cat(logits), torch.cat(replaced)
    generated, detected = union_mean(torch.cat(made)), union_mean(replaced_loss(logits_T, replaced_T))
    return Loss(
        generated + weight * detected,
        {
            "generator": generated.detach(),
            "detector": detected.detach(),
            "replaced": replaced_T.float().mean(),
            "found": found_rate(logits_T, replaced_T),
        },
    )
