"""Random token substitution and its clustered form, https://arxiv.org/abs/2309.08272: which words were replaced?

The mask shows random words at some rows (RTS), or words of the same cluster (C-RTS); a binary head on every word says
whether it is the original. No [MASK] is ever seen, and no head is as wide as the vocabulary, so a step costs less than
one of masked language modeling. Differs: a draw that happens to equal the original is labeled original, where the
authors' code labels it replaced.

    # T packed rows, H rows that the mask may touch, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.rows import target_rows
from unlabeled_text.ops.replaced import ReplacedHead, found_rate, replaced_loss
from unlabeled_text.ops.vocabulary import shown_of, tokens_of


class RTS(nn.Module):
    """Tell replaced words from originals; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 1}, hidden=True, vocabulary=1, encoder=frozenset({"tokens"}))
        self.head = ReplacedHead(encoder.dim)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        logits, replaced = zip(*(self._rows(encoder, view) for view in views), strict=True)
        logits_H, replaced_H = torch.cat(logits), torch.cat(replaced)
        return Loss(union_mean(replaced_loss(logits_H, replaced_H)), {"found": found_rate(logits_H, replaced_H)})

    def _rows(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        if view.shown is None:
            raise ValueError("the mask shows no other words, so nothing was replaced: choose --mask rts or c_rts")
        index = target_rows(view)
        replaced_H = (shown_of(view) != tokens_of(view))[index]
        return self.head(encoder(view).tokens[index]), replaced_H
