"""HuBERT, https://arxiv.org/abs/2106.07447: predict at hidden frames which cluster their sound belongs to.

Cross-entropy over hidden frames and, weighted, over visible ones (equation 1), by the head of
:mod:`unlabeled.nn.units`, which says where it differs. With linear scores and random-projection units it is BEST-RQ,
https://arxiv.org/abs/2202.01855; with noise mixed into the views and units of the clean sound, WavLM,
https://arxiv.org/abs/2110.13900.

``SoftUnits`` is the same loss over every frame, nothing hidden: Soft-VC, https://arxiv.org/abs/2111.02392, whose
projected frame is a speech unit that has not been rounded to one cluster (``unlabeled audio units`` writes them).
Differs: dropout is the encoder's own.

    # K codebooks
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.errors import at_least
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.spread import usage_perplexity
from unlabeled.nn.units import CAUSE, UnitHead, masked_units


class HuBERT(nn.Module):
    """Masked prediction of discrete units.

    Args:
        width: of the projection that is compared with a unit's embedding (cosine scores).
        temperature: divides the cosines, tau.
        scores: cosine (HuBERT), or a plain linear layer (BEST-RQ).
        books: units that the tokenizer gives each frame, K.
        visible: weight of the loss over visible frames, 1 - alpha in the paper, beside 1 for hidden ones.
        penalty: weight of the mean square of the convolutional features, where the encoder has such.
    """

    cause = CAUSE

    def __init__(
        self,
        encoder: Any,
        vocabulary: int,
        *,
        width: int = 256,
        temperature: float = 0.1,
        scores: Literal["cosine", "linear"] = "cosine",
        books: int = 1,
        visible: float = 0.0,
        penalty: float = 10.0,
    ) -> None:
        super().__init__()
        at_least(0, visible=visible, penalty=penalty)
        self.needs = Needs(views={"global": 1}, hidden=True, vocabulary=2, encoder=frozenset({"tokens", "mask"}))
        self.visible, self.penalty = visible, penalty
        self.head = UnitHead(encoder.dim, width, vocabulary, books, temperature, scores)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        return masked_units(self.head, encoder, views, visible=self.visible, penalty=self.penalty)


class SoftUnits(nn.Module):
    """Every frame predicts its unit; ``objective.head.project`` then gives the soft units.

    Args:
        width: of a soft unit.
        temperature: divides the cosines, tau.
    """

    cause = CAUSE

    def __init__(self, encoder: Any, vocabulary: int, *, width: int = 256, temperature: float = 0.1) -> None:
        super().__init__()
        self.needs = Needs(views={"global": 1}, vocabulary=2, encoder=frozenset({"tokens"}))
        self.head = UnitHead(encoder.dim, width, vocabulary, 1, temperature, "cosine")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, right, codes = [], [], []
        for view in views:
            assert view.ids is not None
            ids = self.head.books_of(view.ids)
            loss, correct = self.head(encoder(view).tokens, ids)
            losses.append(loss)
            right.append(correct)
            codes.append(ids)
        perplexity = usage_perplexity(torch.cat(codes), self.head.vocabulary)
        return Loss(
            union_mean(torch.cat(losses)),
            {"accuracy": union_mean(torch.cat(right)), "code_perplexity": perplexity},
        )
