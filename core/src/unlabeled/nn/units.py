"""Prediction of discrete units, frame by frame: HuBERT's head and loss, https://arxiv.org/abs/2106.07447.

Scores are cosines between projected frames and one embedding a unit, over a temperature (equation 3), or those of a
linear layer (BEST-RQ, https://arxiv.org/abs/2202.01855). Several codebooks are several predictions, summed (section
3.2). Differs: the penalty on the convolutional features, of the authors' code, is a mean over the samples of all ranks.

The maths is one product of matrices. Written with ``cosine_similarity`` against an expanded [C + 1, N, D], as in the
authors' code and torchaudio's, the same numbers cost hundreds of times the time and memory.

    # T packed frames, H predicted frames, K codebooks, C units of each, P width of the projection
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, View
from unlabeled.errors import above
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import unit
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import usage_perplexity

# of a collapse, where units are predicted
CAUSE = "units that are nearly all the same (see code_perplexity), silence in the clips, or too high a learning rate"


def cosine_scores(x_HP: Tensor, units_CP: Tensor, temperature: float = 0.1) -> Tensor:
    """Cosine of each frame with each unit, over the temperature: ``[H, C]``.

    >>> cosine_scores(torch.tensor([[3.0, 0.0]]), torch.eye(2))
    tensor([[10.,  0.]])
    """
    with full_precision(x_HP):  # half precision is known to make HuBERT diverge
        return unit(x_HP) @ unit(units_CP).T / temperature


def hubert_loss(x_HP: Tensor, units_CP: Tensor, ids_H: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy of each frame against its unit: ``[H]``.

    >>> hubert_loss(torch.tensor([[3.0, 0.0]]), torch.eye(2), torch.tensor([1]))
    tensor([10.0000])
    """
    return F.cross_entropy(cosine_scores(x_HP, units_CP, temperature), ids_H, reduction="none")


def local_penalty(features: Features, like: Tensor) -> Tensor:
    """Mean square of the convolutional features ``[T]``, where the encoder gives them; empty where it does not.

    >>> local_penalty(encoder(views[0]), like=torch.zeros(()))
    tensor([])
    """
    local = getattr(features, "local", None)
    return like.new_zeros(0) if local is None else full(local).square().mean(-1)


@torch.no_grad()
def local_deviation(features: Features) -> dict[str, Tensor]:
    """``local_std``, how far normed convolutional features deviate over frames: near 0, that encoder has collapsed.

    Nothing for encoders without. The transformer's own deviation is watched by core (``training.collapse``).

    >>> local_deviation(encoder(views[0]))
    {}
    """
    normed = getattr(features, "normed", None)
    return {} if normed is None else {"local_std": full(normed).std(0, correction=0).mean()}


class UnitHead(nn.Module):
    """Frames ``[H, D]`` -> loss ``[H]`` and whether each unit was the best: ``K`` codebooks of ``C`` units.

    >>> head = UnitHead(dim=8, width=4, vocabulary=10, books=2, temperature=0.1, scores="cosine")
    >>> loss, right = head(torch.randn(5, 8), torch.zeros(5, 2, dtype=torch.int64))
    >>> loss.shape, right.shape
    (torch.Size([5]), torch.Size([5]))
    """

    def __init__(self, dim: int, width: int, vocabulary: int, books: int, temperature: float, scores: str) -> None:
        super().__init__()
        above(0, width=width, books=books, temperature=temperature)
        self.vocabulary, self.books, self.temperature, self.scores = vocabulary, books, temperature, scores
        linear = scores == "linear"
        self.project = nn.Identity() if linear else nn.Linear(dim, width * books)
        inner = dim if linear else width
        self.units = nn.Parameter(torch.empty(books, vocabulary, inner))
        nn.init.normal_(self.units, std=1 / math.sqrt(inner)) if linear else nn.init.uniform_(self.units)

    def books_of(self, ids: Tensor) -> Tensor:
        """``ids[T]`` or ``[T, K]`` as ``[T, K]``; ``ValueError`` where the tokenizer has another K."""
        ids = ids.reshape(len(ids), -1)
        if ids.shape[1] != self.books:
            raise ValueError(
                f"the tokenizer gives {ids.shape[1]} units a frame; set --objective.books {ids.shape[1]} "
                f"(it is {self.books})"
            )
        return ids

    def logits(self, x_HD: Tensor) -> list[Tensor]:
        """Scores ``[H, C]`` of each codebook."""
        x = self.project(x_HD)
        if self.scores == "linear":
            return [full(x @ units.T) for units in self.units]
        parts = x.chunk(self.books, dim=1)
        return [cosine_scores(part, units, self.temperature) for part, units in zip(parts, self.units, strict=True)]

    def forward(self, x_HD: Tensor, ids_HK: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.logits(x_HD)
        losses = [F.cross_entropy(s, ids_HK[:, k], reduction="none") for k, s in enumerate(logits)]
        right = [(s.detach().argmax(1) == ids_HK[:, k]).float() for k, s in enumerate(logits)]
        return torch.stack(losses).sum(0), torch.stack(right).mean(0)


def masked_units(head: UnitHead, encoder: Any, views: Sequence[View], *, visible: float, penalty: float) -> Loss:
    """HuBERT's loss of all views: units of hidden frames, of visible ones by weight, and the local penalty.

    >>> head = UnitHead(dim=8, width=4, vocabulary=10, books=1, temperature=0.1, scores="cosine")
    >>> sorted(masked_units(head, encoder, [masked], visible=0.0, penalty=0.0).parts)
    ['accuracy', 'code_perplexity', 'masked']
    """
    hidden, seen, right, squares, codes = [], [], [], [], []
    watched: dict[str, Tensor] = {}
    for view in views:
        assert view.ids is not None
        ids, index = head.books_of(view.ids), target_rows(view)
        features = encoder(view, hide="mask")
        loss, correct = head(features.tokens[index], ids[index])
        hidden.append(loss)
        right.append(correct)
        codes.append(ids)
        squares.append(local_penalty(features, loss))
        watched = local_deviation(features)
        if visible:
            rest = _visible(view)
            seen.append(head(features.tokens[rest], ids[rest])[0])
    masked, accuracy, square = union_mean(torch.cat(hidden)), union_mean(torch.cat(right)), torch.cat(squares)
    total = masked + visible * union_mean(torch.cat(seen)) if seen else masked
    parts = {"masked": masked.detach(), "accuracy": accuracy, **watched}
    parts["code_perplexity"] = usage_perplexity(torch.cat(codes), head.vocabulary)
    if len(square) and penalty:
        size = union_mean(square)
        total, parts["local_square"] = total + penalty * size, size.detach()
    return Loss(total, parts)


def _visible(view: View) -> Tensor:
    assert view.layout is not None
    assert view.hidden is not None
    return view.hidden.complement(view.layout).index
