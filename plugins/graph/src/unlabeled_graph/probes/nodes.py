"""The linear probe of graph papers, on the public split and on random ones.

GraphMAE's and CCA-SSG's evaluation: a linear layer on frozen features as they are, Adam with learning rate 1e-2 and L2
decay 1e-4, 300 full-batch epochs, tested after the last. Differs: weights start at 0, so that the same features give
the same number. The probe moves a result more than most methods do, so its spec is part of every number.

    # N samples, D features, K classes
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.errors import above
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.splits import shuffled


def fit_linear(
    x_ND: Tensor, y_N: Tensor, classes: int, *, lr: float, decay: float, epochs: int
) -> tuple[Tensor, Tensor]:
    """Weight ``[K, D]`` and bias ``[K]`` after ``epochs`` steps of Adam from 0."""
    with torch.enable_grad():
        weight = x_ND.new_zeros(classes, x_ND.shape[1], requires_grad=True)
        bias = x_ND.new_zeros(classes, requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], lr=lr, weight_decay=decay, fused=x_ND.device.type == "cpu")
        for _ in range(epochs):
            optimizer.zero_grad()
            F.cross_entropy(F.linear(x_ND, weight, bias), y_N).backward()
            optimizer.step()
    return weight.detach(), bias.detach()


def accuracy(x_ND: Tensor, y_N: Tensor, train: Tensor, test: Tensor, *, lr: float, decay: float, epochs: int) -> float:
    """Share of ``test[M]`` that a linear layer fitted on ``train[L]`` gets right."""
    known, target = y_N[train].unique(return_inverse=True)
    weight, bias = fit_linear(x_ND[train], target, len(known), lr=lr, decay=decay, epochs=epochs)
    guess = known[F.linear(x_ND[test], weight, bias).argmax(1)]
    return float((guess == y_N[test]).float().mean())


def by_class(y_N: Tensor, train: Tensor, test: Tensor) -> float:
    """Accuracy of the class that is most frequent in train."""
    return float((y_N[test] == y_N[train].mode().values).float().mean())


class PublicSplit:
    """Linear probe on the split that the data fixes: its own train and test nodes.

    Args:
        lr: of Adam, above 0.
        decay: L2 decay, at least 0; 1e-4 on Cora.
        epochs: full-batch steps, at least 1.
    """

    reads = "encoder"
    needs_labels = True

    def __init__(self, *, lr: float = 1e-2, decay: float = 1e-4, epochs: int = 300) -> None:
        above(0, lr=lr, epochs=epochs)
        above(-1e-12, decay=decay)
        self.lr, self.decay, self.epochs = lr, decay, epochs
        self.spec = (
            f"public-v1: the data's own train and test samples, features as they are, linear layer from 0, "
            f"Adam lr {lr:g}, decay {decay:g}, {epochs} full-batch epochs, the last one"
        )

    def applies(self, data: Any) -> bool:
        """Where the data names train and test samples."""
        return public_split(data) is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        train, test = _public(frozen.data)
        features = frozen.embed()
        assert features.y is not None
        options = {"lr": self.lr, "decay": self.decay, "epochs": self.epochs}
        return {"accuracy": accuracy(features.x, features.y, train, test, **options)}  # type: ignore[arg-type]

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class of train."""
        assert frozen.data.labels is not None
        return {"accuracy": by_class(frozen.data.labels, *_public(frozen.data))}


class RandomSplit:
    """Linear probe on a random tenth, tested on another part, by seed.

    Args:
        train: share of the samples that it learns from, in (0, 1); 0.1 in GRACE and BGRL.
        valid: share that is left out, in [0, 1); 0.1.
        lr: of Adam, above 0.
        decay: L2 decay, at least 0.
        epochs: full-batch steps, at least 1.
    """

    reads = "encoder"
    needs_labels = True
    draws = True

    def __init__(
        self, *, train: float = 0.1, valid: float = 0.1, lr: float = 1e-2, decay: float = 1e-4, epochs: int = 300
    ) -> None:
        above(0, lr=lr, epochs=epochs, train=train)
        above(-1e-12, decay=decay, valid=valid)
        if train + valid >= 1:
            raise ValueError(f"train {train} and valid {valid} leave nothing to test on")
        self.train, self.valid = train, valid
        self.lr, self.decay, self.epochs = lr, decay, epochs
        self.spec = (
            f"random-v1: {train:.0%} train, {valid:.0%} unused, the rest test, by seed; features at length 1, linear "
            f"layer from 0, Adam lr {lr:g}, decay {decay:g}, {epochs} full-batch epochs, the last one"
        )

    def applies(self, data: Any) -> bool:
        """Where nodes are the samples."""
        return bool(data.spec.level == "node")

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        train, test = self._split(frozen)
        features = frozen.embed()
        assert features.y is not None
        x = F.normalize(features.x, dim=1)
        options = {"lr": self.lr, "decay": self.decay, "epochs": self.epochs}
        return {"accuracy": accuracy(x, features.y, train, test, **options)}  # type: ignore[arg-type]

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class of train."""
        assert frozen.data.labels is not None
        return {"accuracy": by_class(frozen.data.labels, *self._split(frozen))}

    def _split(self, frozen: Frozen) -> tuple[Tensor, Tensor]:
        assert frozen.data.labels is not None
        known = torch.nonzero(frozen.data.labels >= 0)[:, 0]
        order = known[shuffled(known, frozen.seed)]
        first, second = round(self.train * len(order)), round((self.train + self.valid) * len(order))
        return order[:first], order[second:]


def public_split(data: Any) -> tuple[Tensor, Tensor] | None:
    """Ids of the data's own train and test samples, or None."""
    train, test = getattr(data, "train", None), getattr(data, "held_out", getattr(data, "test", None))
    if train is None or test is None or data.labels is None:
        return None
    return torch.nonzero(train & (data.labels >= 0))[:, 0], torch.nonzero(test & (data.labels >= 0))[:, 0]


def _public(data: Any) -> tuple[Tensor, Tensor]:
    found = public_split(data)
    assert found is not None, "asked where applies() said no"
    return found
