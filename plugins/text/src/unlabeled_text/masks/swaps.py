"""Random words in place of some: RTS, C-RTS and SLM, without a mask token.

https://arxiv.org/abs/2309.08272. RTS and C-RTS predict at every row whether it is the text's own, SLM predicts the
text's own words at the rows that were changed. Differs: a drawn word that happens to be the row's own counts as its own
(the loss compares); C-RTS draws from the row's own cluster of words that stand in like contexts, and leaves out the
paper's choice of the cluster by the model's errors, which would make the data depend on the model.

    # B samples, T packed rows, H changed rows, V words, K clusters, D numbers of a word's context
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.nn.kmeans import lloyd, nearest
from unlabeled_text.batch import TextSpec
from unlabeled_text.masks.words import at_rows, chosen_rows, random_words

_LOW = 0xFFFFFFFF
SEEN = 1 << 20  # tokens that contexts are counted over
ROUNDS = 10  # of k-means


def everywhere(layout: Layout) -> Rows:
    """All rows that a mask may touch."""
    return layout.all if layout.maskable is None else layout.maskable


def show(view: View, chosen: Rows, words_H: Tensor, predict: Rows) -> View:
    """The view with other words at the chosen rows."""
    tokens: Tensor = view.batch.tokens  # type: ignore[attr-defined]
    shown = tokens.index_copy(0, chosen.index, words_H)
    return replace(view, shown=shown, predict=(predict,), ids=tokens if view.ids is None else view.ids)


class RTS:
    """Random words at a share of the rows; every row is judged.

    Args:
        ratio: share of the tokens that are changed, between 0 and 1.
    """

    sets = frozenset({"shown", "predict"})
    targets = 1

    def __init__(self, spec: TextSpec, *, ratio: float = 0.15) -> None:
        if not 0 < ratio < 1:
            raise ValueError(f"ratio is {ratio}; it must lie between 0 and 1, both excluded")
        self.spec, self.ratio = spec, ratio

    def __call__(self, view: View, draw: Draw) -> View:
        assert view.layout is not None, "a mask needs the view's layout"
        chosen = chosen_rows(view.layout, draw, self.ratio, "exact")
        _, fill = at_rows(draw, Purpose.SWAP, view.layout, chosen)
        return show(view, chosen, random_words(fill, self.spec), everywhere(view.layout))


class SLM:
    """Random words at a share of the rows, whose own words are predicted.

    Args:
        ratio: share of the tokens that are changed and predicted, between 0 and 1.
    """

    sets = frozenset({"shown", "predict"})
    targets = 1

    def __init__(self, spec: TextSpec, *, ratio: float = 0.15) -> None:
        if not 0 < ratio < 1:
            raise ValueError(f"ratio is {ratio}; it must lie between 0 and 1, both excluded")
        self.spec, self.ratio = spec, ratio

    def __call__(self, view: View, draw: Draw) -> View:
        assert view.layout is not None, "a mask needs the view's layout"
        chosen = chosen_rows(view.layout, draw, self.ratio, "exact")
        _, fill = at_rows(draw, Purpose.SWAP, view.layout, chosen)
        return show(view, chosen, random_words(fill, self.spec), chosen)


class CRTS:
    """Words of the same cluster at a share of the rows; every row is judged. Clusters are fitted to the data.

    Args:
        ratio: share of the tokens that are changed, between 0 and 1.
        clusters: K, number of clusters.
    """

    sets = frozenset({"shown", "predict"})
    targets = 1

    def __init__(self, spec: TextSpec, *, ratio: float = 0.15, clusters: int = 64) -> None:
        if not 0 < ratio < 1:
            raise ValueError(f"ratio is {ratio}; it must lie between 0 and 1, both excluded")
        if not 1 <= clusters <= len(spec.ordinary) // 2:
            raise ValueError(f"clusters is {clusters}; it must be from 1 to {len(spec.ordinary) // 2}")
        self.spec, self.ratio, self.clusters = spec, ratio, clusters
        # before fit: runs of ids, which trained tokenizers number by frequency
        count = len(spec.ordinary)
        self.tables(torch.arange(count) * clusters // count)

    def tables(self, cluster_V: Tensor) -> None:
        """Take the cluster of each ordinary word: ``[V']``."""
        order = torch.argsort(cluster_V, stable=True)
        self.members = self.spec.ordinary[order]  # words, cluster after cluster
        self.sizes = torch.bincount(cluster_V, minlength=self.clusters)
        self.cluster = torch.zeros(self.spec.vocabulary, dtype=torch.int64)
        self.cluster[self.spec.ordinary] = cluster_V

    def fit(self, data: Any, seed: int) -> None:
        """Cluster words by their contexts in the first texts of the data that training may see."""
        from unlabeled.training.datamodule import trainable

        taken, total = [], 0
        for number in trainable(data).tolist():
            taken.append(number)
            total += int(data.lengths[number])
            if total >= SEEN:
                break
        batch = data.__getitems__(taken)
        contexts = contexts_of(batch.tokens, self.spec, seed)
        self.tables(kmeans(contexts[self.spec.ordinary], self.clusters, seed))

    def __call__(self, view: View, draw: Draw) -> View:
        assert view.layout is not None, "a mask needs the view's layout"
        chosen = chosen_rows(view.layout, draw, self.ratio, "exact")
        _, fill = at_rows(draw, Purpose.SWAP, view.layout, chosen)
        tokens: Tensor = view.batch.tokens  # type: ignore[attr-defined]
        device = tokens.device
        cluster = self.cluster.to(device)[tokens[chosen.index]]
        sizes, begin = self.sizes.to(device), (self.sizes.cumsum(0) - self.sizes).to(device)
        words = self.members.to(device)[begin[cluster] + ((fill & _LOW) * sizes[cluster] >> 32)]
        return show(view, chosen, words, everywhere(view.layout))


def contexts_of(tokens_T: Tensor, spec: TextSpec, seed: int, width: int = 32, reach: int = 2) -> Tensor:
    """``[V, D]``: mean of random vectors of the words up to ``reach`` places away, unit length; 0 for words unseen."""
    ids = torch.arange(spec.vocabulary)
    signs = Draw(seed, 0, ids).bernoulli(width, Purpose.SLICE, 0.5).float() * 2 - 1
    total = torch.zeros(spec.vocabulary, width)
    for step in range(1, reach + 1):
        before, after = tokens_T[:-step], tokens_T[step:]
        total.index_add_(0, before, signs[after])
        total.index_add_(0, after, signs[before])
    count = torch.bincount(tokens_T, minlength=spec.vocabulary).float()
    common = total.sum(0) / count.sum()  # what every word sees alike
    return torch.nn.functional.normalize(total - count[:, None] * common, dim=1)


def kmeans(x_VD: Tensor, clusters: int, seed: int) -> Tensor:
    """``int64[V]``: the cluster of each row by cosine; centers start at rows chosen by ``seed``."""
    order = Draw(seed, 0, torch.arange(len(x_VD))).words(1, Purpose.SPLIT)[:, 0].argsort(stable=True)
    centers = lloyd(x_VD, x_VD[order[:clusters]], rounds=ROUNDS, cosine=True)
    return nearest(x_VD, centers, cosine=True)
