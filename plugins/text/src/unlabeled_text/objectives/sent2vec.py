"""Sent2Vec, https://arxiv.org/abs/1703.02507: each word from the mean of the other words and n-grams of its sentence.

Logistic loss with negative sampling over a table of output vectors; frequent words are sub-sampled as targets, K
n-grams of a text are dropped, and n-grams in which the target takes part are left out of its context. Differs: word
frequencies are counted while training, from even ones at the start; draws follow from (step, sample, place).

    # B samples, T packed rows, H target rows, K negatives, N longest n-gram, V words, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, View
from unlabeled.draw import mix64
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import row_words, uniform
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import all_reduce, union_mean
from unlabeled_text.ops.purposes import Use
from unlabeled_text.ops.vocabulary import layout_of, table_of, tokens_of


def whole_grams(layout: Layout, longest: int) -> Tensor:
    """``bool[T, N]``, True = the n-gram that ends at the row lies in its group and holds words alone."""
    word = (layout.maskable or layout.all).flags(layout.total)
    real = [word]
    for n in range(2, longest + 1):
        real.append(word & real[-1].roll(1) & (layout.within >= n - 1))
    return torch.stack(real, dim=1)


def dropped(keys_TN: Tensor, real_TN: Tensor, layout: Layout, count: int) -> Tensor:
    """``real_TN`` without ``count`` n-grams (n > 1) of each group, those of the smallest random keys."""
    if count == 0 or real_TN.shape[1] == 1 or not len(real_TN):
        return real_TN
    last = torch.iinfo(keys_TN.dtype).max
    keys, pad = layout.dense((keys_TN[:, 1:] >> 1).masked_fill(~real_TN[:, 1:], last))
    flat = (keys if pad is None else keys.masked_fill(pad[..., None], last)).flatten(1)
    chosen = flat.topk(min(count, flat.shape[1]), dim=1, largest=False).indices
    gone = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True).reshape(keys.shape)
    return torch.cat((real_TN[:, :1], real_TN[:, 1:] & ~layout.pack(gone)), dim=1)


def contexts(parts: Sequence[Tensor], real_TN: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Mean ``[T, D]`` of all n-grams of the group that do not contain the row, and how many ``[T]`` those are.

    ``parts[n - 1][t]`` is the embedding of the n-gram that ends at row t; it counts where ``real_TN[t, n - 1]``.
    """
    length = layout.counts[layout.group]
    total, count = torch.zeros_like(parts[0]), torch.zeros_like(length)
    for n, (part_TD, real) in enumerate(zip(parts, real_TN.unbind(1), strict=True), 1):
        # the n-gram itself, and a 1 to count it by
        both = torch.cat((part_TD, torch.ones_like(part_TD[:, :1])), 1) * real[:, None]
        outside = layout.mean(both)[layout.group] * length[:, None].to(both.dtype)
        for j in range(n):  # the n-gram that ends j rows on contains this row
            ends = (torch.arange(layout.total, device=length.device) + j).clamp(max=layout.total - 1)
            outside = outside - both[ends] * (layout.within + j < length)[:, None]
        total, count = total + outside[:, :-1], count + outside[:, -1].round().long()
    return total / count.clamp(min=1)[:, None].to(total.dtype), count


def drawn(counts_V: Tensor, point_TK: Tensor) -> Tensor:
    """``int64[T, K]``: words by the root of their count, by inversion at points in [0, 1); none of count 0."""
    heap = counts_V.sqrt().cumsum(0).float()
    return torch.searchsorted(heap, point_TK * heap[-1], right=True)


def negative_loss(context_HD: Tensor, right_HD: Tensor, wrong_HKD: Tensor, same_HK: Tensor) -> Tensor:
    """Logistic loss of the right word and of K wrong ones: ``[H]``. ``same_HK``, True = the right word, drawn again."""
    right = (context_HD * right_HD).sum(-1)
    wrong = torch.einsum("hd,hkd->hk", context_HD, wrong_HKD)
    return F.softplus(-right) + F.softplus(wrong).masked_fill(same_HK, 0.0).sum(-1)


class Sent2Vec(nn.Module):
    """Words from their sentence, with negative sampling.

    Args:
        negatives: wrong words a target, at least 1; 10 in the paper.
        threshold: share of the text above which a word is sub-sampled as a target, above 0; t in the paper, 1e-5.
        drop: n-grams of two words or more that are dropped of a text in a step, at least 0; K in the paper.
    """

    def __init__(self, encoder: Any, *, negatives: int = 10, threshold: float = 1e-3, drop: int = 2) -> None:
        super().__init__()
        above(0, negatives=negatives, threshold=threshold)
        at_least(0, drop=drop)
        if not hasattr(encoder, "parts"):
            raise ValueError("sent2vec needs an encoder that is a bag of n-grams: choose --encoder bag")
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.negatives, self.threshold, self.drop = negatives, threshold, drop
        words = len(table_of(encoder))
        self.out = nn.Parameter(torch.zeros(words, encoder.dim))
        self.counts: Tensor
        self.register_buffer("counts", torch.ones(words, dtype=torch.float64))
        self.plain: Tensor
        self.register_buffer("plain", encoder.spec.plain.clone(), persistent=False)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = views[0]
        layout, words_T = layout_of(encoder, view), tokens_of(view)
        parts = encoder.parts(view)
        real = self._counted(view, layout, len(parts))
        context_TD, count_T = contexts(parts, real, layout)
        targets = self.plain[words_T] & (count_T > 0)
        index = torch.nonzero(targets & self._kept(view, layout, words_T)).flatten()
        wrong_HK = self._wrong(view, layout)[index]
        right_H = words_T[index]
        same_HK = wrong_HK == right_H[:, None]
        loss = union_mean(negative_loss(context_TD[index], self.out[right_H], self.out[wrong_HK], same_HK))
        if self.training:
            self.counts += all_reduce(
                torch.zeros_like(self.counts).index_add_(0, words_T, torch.ones_like(words_T, dtype=self.counts.dtype))
            )
        return Loss(loss)

    def _counted(self, view: View, layout: Layout, longest: int) -> Tensor:
        """``bool[T, N]``: the n-grams that contexts are made of."""
        real = whole_grams(layout, longest)
        if not self.training:
            return real
        keys = mix64(
            row_words(view, layout, self.clock.step, Use.DROPPED)[:, None] + torch.arange(longest, device=real.device)
        )
        return dropped(keys, real, layout, self.drop)

    def _kept(self, view: View, layout: Layout, words_T: Tensor) -> Tensor:
        """``bool[T]``: rare words always, frequent ones as often as the threshold allows."""
        ratio = self.threshold * (self.counts * self.plain).sum() / self.counts
        keep = (ratio.sqrt() + ratio).clamp(max=1.0).float()
        return uniform(row_words(view, layout, self.clock.step, Use.SAMPLE)) < keep[words_T]

    def _wrong(self, view: View, layout: Layout) -> Tensor:
        """``int64[T, K]``: words drawn by the root of their frequency."""
        word_T1 = row_words(view, layout, self.clock.step, Use.PAIRS)[:, None]
        point = uniform(mix64(word_T1 + torch.arange(self.negatives, device=word_T1.device)))
        return drawn(self.counts * self.plain, point)
