"""A bag of n-grams: a text is the mean of the vectors of its words and of runs of words. Sent2Vec's encoder.

https://arxiv.org/abs/1703.02507. N-grams share a table by hash, as in the authors' code. Differs: specials are no
words, and n-grams with one in them do not count.

    # B samples, T packed rows, N longest n-gram, V words, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.draw import mix64
from unlabeled.transfer import resident
from unlabeled_text.batch import TextSpec
from unlabeled_text.ops.layouts import layout_of, words_of
from unlabeled_text.ops.tokenizing import NO_MASK


def ngram_hashes(words_T: Tensor, length: int) -> Tensor:
    """``int64[T]``: a hash of the ``length`` words that end at each row, whatever text they are of."""
    total = torch.zeros_like(words_T)
    for back in range(length):
        total = mix64(total + words_T.roll(back) + 1)
    return total


class Bag(nn.Module):
    """Mean of word and n-gram vectors.

    Args:
        width: D, features of a text.
        longest: N, words of the longest n-gram, from 1 on.
        buckets: vectors that n-grams share by hash.
    """

    causal, dropout, pool = False, 0.0, "mean"

    def __init__(self, spec: TextSpec, *, width: int = 128, longest: int = 2, buckets: int = 20000) -> None:
        super().__init__()
        if min(width, longest, buckets) < 1:
            raise ValueError(f"width {width}, longest {longest}, buckets {buckets}: each must be at least 1")
        self.spec, self.dim, self.longest, self.buckets = spec, width, longest, buckets
        self.cannot = {} if spec.mask is not None else {"mask": NO_MASK}
        self.can = frozenset({"tokens"} | ({"mask"} if spec.mask is not None else set()))
        self.words = nn.Embedding(spec.vocabulary, width)
        self.ngrams = nn.Embedding(buckets, width) if longest > 1 else None
        for table in (self.words, self.ngrams):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)

    def layout(self, batch: Any) -> Layout:
        """A row a token, specials among them."""
        return layout_of(batch, self.spec)

    def word_embeddings(self) -> Tensor:
        """``[V, D]``: the vectors of words."""
        return self.words.weight

    def parts(self, view: View) -> list[Tensor]:
        """For each n the vector ``[T, D]`` of the n-gram that ends at each row; 0 where there is none."""
        parts, counted = self._parts(view, view.layout or self.layout(view.batch))
        return [part * real[:, None] for part, real in zip(parts, counted, strict=True)]

    def _parts(self, view: View, layout: Layout) -> tuple[list[Tensor], list[Tensor]]:
        words = words_of(view, layout, self.spec.mask)
        parts, counted = [self.words(words)], [resident(self.spec.plain, words.device)[words]]
        for length in range(2, self.longest + 1):
            assert self.ngrams is not None
            index = (ngram_hashes(words, length) & ((1 << 62) - 1)) % self.buckets
            parts.append(self.ngrams(index))
            real = counted[0] & counted[-1].roll(1) & (layout.within >= length - 1)
            counted.append(real)
        return parts, counted

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        if layers or view.swap is not None or (view.hidden is not None and hide not in self.can):
            raise ValueError(f"a bag of n-grams has no layers, swaps and drops no rows: hide={hide!r}")
        layout = view.layout or self.layout(view.batch)
        parts, counted = self._parts(view, layout)
        flags = torch.stack(counted).to(parts[0].dtype)
        total = torch.stack([part * real[:, None] for part, real in zip(parts, flags, strict=True)]).sum(0)
        number = layout.mean(flags.sum(0)[:, None])
        # of means, the number of rows cancels
        pooled = layout.mean(total) / number.clamp(min=1e-6)
        return Features(parts[0] * flags[0][:, None], layout, pooled)
