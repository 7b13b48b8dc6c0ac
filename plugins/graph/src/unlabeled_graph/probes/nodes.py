"""The linear probe of graph papers, on the public split and on random ones.

GraphMAE's and CCA-SSG's evaluation: a linear layer on frozen features as they are, Adam with learning rate 1e-2 and L2
decay 1e-4, 300 full-batch epochs, tested after the last. Differs: weights start at 0, so that the same features give
the same number. The probe moves a result more than most methods do, so its spec is part of every number.

    # N samples, D features, K classes
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks
from unlabeled.errors import above
from unlabeled.probes.frozen import Frozen
from unlabeled_graph.data import splits


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

    asks = Asks(reads="encoder", labels=True)

    def __init__(self, *, lr: float = 1e-2, decay: float = 1e-4, epochs: int = 300) -> None:
        above(0, lr=lr, epochs=epochs)
        above(-1e-12, decay=decay)
        self.lr, self.decay, self.epochs = lr, decay, epochs
        self.spec = (
            f"public-v1: the data's own train and test samples, features as they are, linear layer from 0, "
            f"Adam lr {lr:g}, decay {decay:g}, {epochs} full-batch epochs, the last one"
        )

    def applies(self, data: Any) -> bool:
        """Where nodes are the samples and the data bring a split."""
        return bool(data.spec.level == "node" and data.all_labels is not None and splits.has(data.raw, "public"))

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        return {"accuracy": self.score(frozen.embed().x, frozen.data)}

    def score(self, x_ND: Tensor, data: Any) -> float:
        """Accuracy on the public test nodes."""
        part = data.split(protocol="public")
        how = {"lr": self.lr, "decay": self.decay}
        return accuracy(x_ND, data.all_labels, part.train, part.test, epochs=self.epochs, **how)

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class of train."""
        data: Any = frozen.data
        part = data.split(protocol="public")
        return {"accuracy": by_class(data.all_labels, part.train, part.test)}


class RandomSplit:
    """Linear probe on a random tenth of each class, tested on eight tenths, by seed.

    Args:
        lr: of Adam, above 0.
        decay: L2 decay, at least 0.
        epochs: full-batch steps, at least 1.
    """

    asks = Asks(reads="encoder", labels=True, draws=True)

    def __init__(self, *, lr: float = 1e-2, decay: float = 1e-4, epochs: int = 300) -> None:
        above(0, lr=lr, epochs=epochs)
        above(-1e-12, decay=decay)
        self.lr, self.decay, self.epochs = lr, decay, epochs
        self.spec = (
            f"random-v1: 10% train, 10% unused, 80% test of each class, by seed; features at length 1, linear layer "
            f"from 0, Adam lr {lr:g}, decay {decay:g}, {epochs} full-batch epochs, the last one"
        )

    def applies(self, data: Any) -> bool:
        """Where nodes are the samples."""
        return bool(data.spec.level == "node" and data.all_labels is not None)

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        return {"accuracy": self.score(frozen.embed().x, frozen.data, frozen.seed)}

    def score(self, x_ND: Tensor, data: Any, seed: int) -> float:
        """Accuracy on the test nodes of split ``seed``."""
        part = data.split(seed, "random")
        how, x = {"lr": self.lr, "decay": self.decay}, F.normalize(x_ND, dim=1)
        return accuracy(x, data.all_labels, part.train, part.test, epochs=self.epochs, **how)

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The most frequent class of train."""
        data: Any = frozen.data
        part = data.split(frozen.seed, "random")
        return {"accuracy": by_class(data.all_labels, part.train, part.test)}
