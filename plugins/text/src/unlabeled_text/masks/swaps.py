"""Other words in place of some: RTS, C-RTS, SLM and E2S2's, without a mask token.

https://arxiv.org/abs/2309.08272. RTS and C-RTS predict at every row whether it is the text's own, SLM predicts the
text's own words at the rows that were changed. Differs: a drawn word that happens to be the row's own counts as its own
(the loss compares); C-RTS draws from the row's own cluster of words that stand in like contexts, and leaves out the
paper's choice of the cluster by the model's errors, which would make the data depend on the model. It never draws
the row's own word, nor one that the texts do not hold; a word alone in its cluster joins the nearest.

    # B samples, T packed rows, H changed rows, V words, K clusters, D numbers of a word's context
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import UsageError
from unlabeled.masks.rows import choose, keys
from unlabeled.nn.kmeans import lloyd, nearest
from unlabeled_text.batch import TextSpec
from unlabeled_text.masks.words import at_rows, chosen_rows, random_words
from unlabeled_text.ops.ragged import owner, starts_of, within

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


class Scrambled:
    """E2S2's, https://arxiv.org/abs/2205.14912: some words change places, some are random; the own ones are predicted.

    Args:
        shuffle: share of the tokens that change places with each other, in (0, 1); two at least, where a text has them.
        random: share of the tokens that are random words, in (0, 1).
    """

    sets = frozenset({"shown", "predict"})
    targets = 1
    exact = False  # a text of few words has more that change places than its share
    flat = True

    def __init__(self, spec: TextSpec, *, shuffle: float = 0.05, random: float = 0.05) -> None:
        if not (0 < shuffle < 1 and 0 < random < 1 and shuffle + random < 1):
            raise ValueError(f"shuffle is {shuffle} and random {random}; both must be above 0, and their sum below 1")
        self.spec, self.shuffle, self.random, self.ratio = spec, shuffle, random, shuffle + random

    def __call__(self, view: View, draw: Draw) -> View:
        assert view.layout is not None, "a mask needs the view's layout"
        tokens: Tensor = view.batch.tokens  # type: ignore[attr-defined]
        layout, most = view.layout, everywhere(view.layout).lengths
        moved = [min(n, max(2, round(self.shuffle * n))) for n in most]
        drawn = [min(n - m, round(self.random * n)) for n, m in zip(most, moved, strict=True)]
        chosen = choose(keys(layout, draw), layout, [m + d for m, d in zip(moved, drawn, strict=True)])
        inside = choose(keys(layout, draw, Purpose.ORDER), replace(layout, maskable=chosen), moved)
        _, fill = at_rows(draw, Purpose.SWAP, layout, chosen)
        changed = show(view, chosen, random_words(fill, self.spec), chosen)
        assert changed.shown is not None
        around = next_of(torch.tensor(moved, device=tokens.device), len(inside.index))
        return replace(changed, shown=changed.shown.index_copy(0, inside.index, tokens[inside.index[around]]))


def next_of(lengths_B: Tensor, total: int) -> Tensor:
    """``int64[T]``: the element after each of packed sequences, the first after the last."""
    sample, place = owner(lengths_B, total), within(lengths_B, total)
    return starts_of(lengths_B)[sample] + (place + 1) % lengths_B[sample]


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

    def tables(self, cluster_V: Tensor, known_V: Tensor | None = None) -> None:
        """Take the cluster of each ordinary word: ``[V']``; words that are not ``known_V`` are drawn for none."""
        words = self.spec.ordinary
        known = torch.ones_like(words, dtype=torch.bool) if known_V is None else known_V
        order = torch.argsort(cluster_V[known], stable=True)
        self.members = words[known][order]  # words, cluster after cluster
        self.sizes = torch.bincount(cluster_V[known], minlength=self.clusters)
        self.cluster = torch.zeros(self.spec.vocabulary, dtype=torch.int64)
        self.cluster[words] = cluster_V
        self.place = torch.full((self.spec.vocabulary,), -1)  # of a word among the members; -1 = it is none
        self.place[self.members] = torch.arange(len(self.members))

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
        contexts = contexts_of(batch.tokens, self.spec, seed, owner(batch.counts, len(batch.tokens)))
        x_VD = contexts[self.spec.ordinary]
        known = x_VD.square().sum(1) > 0
        if int(known.sum()) < 2 * self.clusters:
            raise UsageError(
                f"mask c_rts: clusters is {self.clusters}, and the texts hold {int(known.sum())} words with contexts; "
                f"set --mask.clusters to at most {max(1, int(known.sum()) // 2)}"
            )
        self.tables(spread(x_VD, known, self.clusters, seed), known)

    def __call__(self, view: View, draw: Draw) -> View:
        assert view.layout is not None, "a mask needs the view's layout"
        chosen = chosen_rows(view.layout, draw, self.ratio, "exact")
        _, fill = at_rows(draw, Purpose.SWAP, view.layout, chosen)
        tokens: Tensor = view.batch.tokens  # type: ignore[attr-defined]
        device = tokens.device
        cluster = self.cluster.to(device)[tokens[chosen.index]]
        begin, place = (
            (self.sizes.cumsum(0) - self.sizes).to(device)[cluster],
            self.place.to(device)[tokens[chosen.index]],
        )
        others = self.sizes.to(device)[cluster] - (place >= 0).long()
        drawn = begin + ((fill & _LOW) * others >> 32)
        drawn = drawn + ((place >= 0) & (drawn >= place)).long()  # past the word itself
        words = self.members.to(device)[drawn]
        return show(view, chosen, words, everywhere(view.layout))


def spread(x_VD: Tensor, known_V: Tensor, clusters: int, seed: int) -> Tensor:
    """``int64[V]``: clusters of the known words, two of them at least in each; the others' are any, evenly."""
    cluster = torch.arange(len(x_VD)) % clusters
    found = kmeans(x_VD[known_V], clusters, seed)
    large = torch.bincount(found, minlength=clusters) > 1
    centers = torch.zeros(clusters, x_VD.shape[1]).index_add_(0, found, x_VD[known_V])
    alone = ~large[found]
    near = torch.nonzero(large).flatten()
    found[alone] = near[nearest(x_VD[known_V][alone], centers[near], cosine=True)]
    cluster[known_V] = found
    cluster[~known_V] = near[cluster[~known_V] % len(near)]
    return cluster


def contexts_of(tokens_T: Tensor, spec: TextSpec, seed: int, text_T: Tensor, width: int = 32, reach: int = 2) -> Tensor:
    """``[V, D]``: mean of random vectors of the words up to ``reach`` places away, unit length; 0 for words unseen.

    Only words of the same ``text_T`` are each other's context.
    """
    ids = torch.arange(spec.vocabulary)
    signs = Draw(seed, 0, ids).bernoulli(width, Purpose.SLICE, 0.5).float() * 2 - 1
    total = torch.zeros(spec.vocabulary, width)
    for step in range(1, reach + 1):
        same = text_T[:-step] == text_T[step:]
        before, after = tokens_T[:-step][same], tokens_T[step:][same]
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
