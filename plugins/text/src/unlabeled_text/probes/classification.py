"""Probes with labels on texts, on words, and on choices.

# N texts, W words, Q questions, K choices, D features
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks, Embedded, Layout
from unlabeled.errors import at_least
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.linear import Linear, standardize
from unlabeled.probes.splits import TEST_SHARE, shuffled
from unlabeled.probes.table import PRETRAINED, UNTRAINED
from unlabeled_text.probes.reading import accuracy, features, majority


def labeled_sides(frozen: Frozen) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids and labels of the labeled texts of train, then of test."""
    labels = frozen.data.labels
    assert labels is not None
    train, test = (ids[labels[ids] >= 0] for ids in (frozen.train, frozen.test))
    return train, labels[train].long(), test, labels[test].long()


class Classification:
    """Classes of texts, by all that the features hold: of TF-IDF every word; it has no settings."""

    asks = Asks(reads="encoder", labels=True)
    spec = (
        "classification-v2: linear-v2 on pooled features; of TF-IDF on every 1- and 2-gram, not standardized, "
        "C of {0.01, 0.1, 1, 10, 100} on 20% of train, refit"
    )

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        train, train_y, test, test_y = labeled_sides(frozen)
        return {"accuracy": accuracy(features(frozen, train), train_y, features(frozen, test), test_y)}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class of train."""
        _, train_y, _, test_y = labeled_sides(frozen)
        return {"accuracy": majority(train_y, test_y)}


# ---------------------------------------------------------------------------------------------- words


def word_starts(batch: Any, layout: Layout, spec: Any) -> Tensor:
    """``int64[W]``: the first row of each word of the texts, unknown words too; the frame of a text holds none."""
    length = torch.tensor(layout.lengths, device=layout.group.device)[layout.group]
    inside = (layout.within >= len(spec.prefix)) & (layout.within < length - len(spec.suffix))
    return torch.nonzero(torch.as_tensor(batch.starts).to(inside.device) & inside).flatten()


class Tagging:
    """Tags of words, such as parts of speech or entities, from the feature of each word's first token.

    Args:
        most: most words of train that are learned from, at least 1.
    """

    asks = Asks(reads="encoder", kinds=(UNTRAINED, PRETRAINED))  # a baseline has no features of words

    def __init__(self, *, most: int = 20000) -> None:
        at_least(1, most=most)
        self.most = most
        self.spec = f"tagging-v2: linear-v2 on the token features of each word's first token, {most} words of train"

    def applies(self, data: Any) -> bool:
        """Whether the data has tags of words."""
        return getattr(data, "tags", None) is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        train_x, train_y = self._words(frozen, frozen.train)
        test_x, test_y = self._words(frozen, frozen.test)
        train = Embedded(train_x[: self.most], train_y[: self.most])
        return Linear()(train, Embedded(test_x, test_y))

    def _words(self, frozen: Frozen, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[W, D]`` and tags ``[W]`` of all tagged words, text after text."""
        data: Any = frozen.data
        x, y = [], []
        for batch, _, out in frozen.encode(ids):
            layout, index = out.layout, word_starts(batch, out.layout, data.spec)
            # a text that was cut has fewer words than tags
            tags = [torch.as_tensor(data.tags[i]) for i in batch.ids.tolist()]
            counts = torch.bincount(layout.group[index], minlength=len(layout.lengths)).tolist()
            found = torch.cat([F.pad(t[:n], (0, n - len(t[:n])), value=-1) for t, n in zip(tags, counts, strict=True)])
            x.append(out.tokens[index].float().cpu()[found >= 0])
            y.append(found[found >= 0])
        return torch.cat(x), torch.cat(y).long()

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent tag of train."""
        data: Any = frozen.data
        train, test = (torch.cat([torch.as_tensor(data.tags[i]) for i in ids.tolist()]) for ids in
                       (frozen.train, frozen.test))  # fmt: skip
        return {"accuracy": majority(train[train >= 0], test[test >= 0])}


# ---------------------------------------------------------------------------------------------- choices


def fit_choice(x_QKD: Tensor, answer_Q: Tensor, decay: float, steps: int = 200) -> Tensor:
    """Weights ``[D]`` of the conditional logit: softmax over the choices of a question of ``x @ w``, L2 penalized."""
    weight = torch.zeros(x_QKD.shape[2], requires_grad=True)
    search = torch.optim.LBFGS([weight], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = F.cross_entropy(x_QKD @ weight, answer_Q) + decay / 2 * weight.square().sum()
        value.backward()
        return value

    search.step(loss)
    return weight.detach()


class MultipleChoice:
    """Which of K texts is right, as in CaseHOLD: a context with each of its choices is one text.

    Args:
        decay: of the weights of the linear scorer, at least 0.
    """

    asks = Asks(reads="encoder")

    def __init__(self, *, decay: float = 0.01) -> None:
        at_least(0, decay=decay)
        self.decay = decay
        self.spec = (
            f"multiple_choice-v1: conditional logit on standardized features of context with choice, L2 {decay:g}"
        )

    def applies(self, data: Any) -> bool:
        """Whether the data has choices."""
        return getattr(data, "choices", None) is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        data: Any = frozen.data
        train, test = self._sides(data, frozen.seed)
        x = self._features(frozen)
        scale = standardize(x[train].flatten(0, 1), x.flatten(0, 1))[1].unflatten(0, x.shape[:2])
        weight = fit_choice(scale[train], data.answers[train], self.decay)
        return {"accuracy": ((scale[test] @ weight).argmax(1) == data.answers[test]).float().mean().item()}

    def _features(self, frozen: Frozen) -> Tensor:
        """``[Q, K, D]``; of TF-IDF its dense axes, which a conditional logit can fit."""
        data: Any = frozen.data
        x = frozen.embed(data.choices.flatten()).x
        return x.float().unflatten(0, tuple(data.choices.shape))

    def _sides(self, data: Any, seed: int) -> tuple[Tensor, Tensor]:
        held = getattr(data, "choice_test", None)
        val = getattr(data, "val", None)
        kept = torch.ones(len(data.choices), dtype=torch.bool) if val is None else ~val[data.choices[:, 0]]
        numbers = kept.nonzero()[:, 0]
        if held is not None and bool(held[kept].any()) and not bool(held[kept].all()):
            return numbers[~held[kept]], numbers[held[kept]]
        order = numbers[shuffled(numbers, seed, view=5)]
        count = max(1, round(TEST_SHARE * len(order)))
        return order[count:].sort().values, order[:count].sort().values

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """One of K."""
        data: Any = frozen.data
        return {"accuracy": 1 / data.choices.shape[1]}
