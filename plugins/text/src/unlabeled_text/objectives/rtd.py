"""ELECTRA, https://arxiv.org/abs/2003.10555: a small generator fills hidden words, the encoder finds which it made.

The generator reads [MASK] and learns by masked language modeling; one word is drawn from its softmax at each chosen
row; the encoder reads the result and labels every row, specials too. A draw that equals the original is labeled
original, and no gradient flows through the draw. Word embeddings are shared. Differs: the draw follows from (step,
sample, place), so that it is alike on any number of ranks; the generator has sine-cosine positions and pre-norm blocks.

    # G groups, T packed rows, H rows that the mask chose, V words, D width of the generator, E of the word embeddings
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.errors import above, at_least, within
from unlabeled.nn.chance import row_words
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.rows import target_rows
from unlabeled_text.decoders.transformer import Transformer
from unlabeled_text.objectives.rts import ReplacedHead, found_rate, replaced_loss
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


class Generator(nn.Module):
    """A small masked language model over the encoder's word embeddings."""

    def __init__(self, table_VE: Tensor, width: int, depth: int, dropout: float = 0.1) -> None:
        super().__init__()
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
        width = max(32, round(encoder.dim * share / 32) * 32)
        self.generator = Generator(table_of(encoder), width, depth, dropout)
        self.head = ReplacedHead(encoder.dim)
        self.step: Tensor
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        parts = [self._view(encoder, view, number) for number, view in enumerate(views)]
        made_H, logits_T, replaced_T = (torch.cat(rows) for rows in zip(*parts, strict=True))
        generated, detected = union_mean(made_H), union_mean(replaced_loss(logits_T, replaced_T))
        return Loss(
            generated + self.weight * detected,
            {
                "generator": generated.detach(),
                "detector": detected.detach(),
                "replaced": replaced_T.float().mean(),
                "found": found_rate(logits_T, replaced_T),
            },
        )

    def _view(self, encoder: Any, view: View, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of the generator ``[H]``, and of every row the encoder's logit and whether it was replaced ``[T]``."""
        view = replace(view, layout=layout_of(encoder, view))
        index_H, words_T = target_rows(view), tokens_of(view)
        logits_HV = self.generator(view, table_of(encoder), index_H)
        filled = self.fill(logits_HV, view, index_H, number)
        logits_T = self.head(encoder(filled).tokens)
        return word_loss(logits_HV, words_T[index_H]), logits_T, shown_of(filled) != words_T

    def fill(self, logits_HV: Tensor, view: View, index_H: Tensor, number: int = 0) -> View:
        """The view with a draw from the generator at each chosen row, and nothing hidden."""
        assert view.layout is not None
        words = row_words(view, view.layout, self.step, Use.SAMPLE, number)[index_H]
        made_H = sample_words(logits_HV.detach() / self.temperature, words)
        tokens_T = tokens_of(view)
        return replace(view, hidden=None, ids=tokens_T, shown=tokens_T.index_copy(0, index_H, made_H))

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """The next step draws anew."""
        self.step.fill_(progress.step)
