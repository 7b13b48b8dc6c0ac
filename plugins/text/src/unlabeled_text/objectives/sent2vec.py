"""Sent2Vec, https://arxiv.org/abs/1703.02507: each word from the mean of the other words and n-grams of its sentence.

Logistic loss with negative sampling over a table of output vectors; frequent words are sub-sampled as targets. Differs:
word frequencies are counted while training, from even ones at the start; draws follow from (step, sample, place);
n-grams in which the target takes part are left out of its context, as in the paper.

    # B samples, T packed rows, H target rows, K negatives, N longest n-gram, V words, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, Progress, View
from unlabeled.distributed import all_reduce
from unlabeled.draw import mix64
from unlabeled.errors import above
from unlabeled.objectives.masked import union_mean
from unlabeled_text.objectives.vocabulary import PAIRS, SAMPLE, layout_of, row_words, table_of, tokens_of, unit_of


def contexts(parts: Sequence[Tensor], layout: Layout) -> tuple[Tensor, Tensor]:
    """Mean ``[T, D]`` of all n-grams of the group that do not contain the row, and how many ``[T]`` those are.

    ``parts[n - 1][t]`` is the embedding of the n-gram that ends at row t. One that reaches beyond its group, or holds a
    row that is no word, does not count.
    """
    length = torch.tensor(layout.lengths, device=parts[0].device)[layout.group]
    total, count = torch.zeros_like(parts[0]), torch.zeros_like(length)
    word = (layout.maskable or layout.all).flags(layout.total)
    real = word
    for n, part_TD in enumerate(parts, 1):
        real = real if n == 1 else word & real.roll(1) & (layout.within >= n - 1)
        # the n-gram itself, and a 1 to count it by
        both = torch.cat((part_TD, torch.ones_like(part_TD[:, :1])), 1) * real[:, None]
        outside = layout.mean(both)[layout.group] * length[:, None].to(both.dtype)
        for j in range(n):  # the n-gram that ends j rows on contains this row
            ends = (torch.arange(layout.total, device=length.device) + j).clamp(max=layout.total - 1)
            outside = outside - both[ends] * (layout.within + j < length)[:, None]
        total, count = total + outside[:, :-1], count + outside[:, -1].round().long()
    return total / count.clamp(min=1)[:, None].to(total.dtype), count


def negative_loss(context_HD: Tensor, right_HD: Tensor, wrong_HKD: Tensor) -> Tensor:
    """Logistic loss of the right word and of K wrong ones: ``[H]``."""
    right = (context_HD * right_HD).sum(-1)
    wrong = torch.einsum("hd,hkd->hk", context_HD, wrong_HKD)
    return F.softplus(-right) + F.softplus(wrong).sum(-1)


class Sent2Vec(nn.Module):
    """Words from their sentence, with negative sampling.

    Args:
        negatives: wrong words a target, at least 1; 10 in the paper.
        threshold: share of the text above which a word is sub-sampled as a target, above 0; t in the paper, 1e-5.
    """

    def __init__(self, encoder: Any, *, negatives: int = 10, threshold: float = 1e-3) -> None:
        super().__init__()
        above(0, negatives=negatives, threshold=threshold)
        if not hasattr(encoder, "parts"):
            raise ValueError("sent2vec needs an encoder that is a bag of n-grams: choose --encoder bag")
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.negatives, self.threshold = negatives, threshold
        words = len(table_of(encoder))
        self.out = nn.Parameter(torch.zeros(words, encoder.dim))
        self.counts: Tensor
        self.register_buffer("counts", torch.ones(words, dtype=torch.float64))
        self.step: Tensor
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = views[0]
        layout, words_T = layout_of(encoder, view), tokens_of(view)
        context_TD, count_T = contexts(encoder.parts(view), layout)
        targets = (layout.maskable or layout.all).flags(layout.total) & (count_T > 0)
        index = torch.nonzero(targets & self._kept(view, layout, words_T)).flatten()
        wrong_HK = self._wrong(view, layout)[index]
        loss = union_mean(negative_loss(context_TD[index], self.out[words_T[index]], self.out[wrong_HK]))
        if self.training:
            self.counts += all_reduce(torch.bincount(words_T, minlength=len(self.counts)).to(self.counts.dtype))
        return Loss(loss)

    def _kept(self, view: View, layout: Layout, words_T: Tensor) -> Tensor:
        """``bool[T]``: rare words always, frequent ones as often as the threshold allows."""
        ratio = self.threshold * self.counts.sum() / self.counts
        keep = (ratio.sqrt() + ratio).clamp(max=1.0).float()
        return unit_of(row_words(view, layout, int(self.step), SAMPLE)) < keep[words_T]

    def _wrong(self, view: View, layout: Layout) -> Tensor:
        """``int64[T, K]``: words drawn by the root of their frequency."""
        heap = self.counts.sqrt().cumsum(0).float()
        word_T1 = row_words(view, layout, int(self.step), PAIRS)[:, None]
        point = unit_of(mix64(word_T1 + torch.arange(self.negatives, device=word_T1.device))) * heap[-1]
        return torch.searchsorted(heap, point).clamp(max=len(heap) - 1)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """The next step draws anew."""
        self.step.fill_(progress.step)
