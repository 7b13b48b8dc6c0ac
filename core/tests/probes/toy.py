"""A domain of points around class centers, as a plugin file: data, views, encoders with and without BatchNorm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Layout, View
from unlabeled.plugins.words import Component, Domain, hookimpl

HERE = __name__


@dataclass(frozen=True)
class Points:
    ids: Tensor
    x: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device):
        return Points(self.ids.to(device), self.x.to(device))

    def __getitem__(self, part: slice):
        return Points(self.ids[part], self.x[part])


class Clusters:
    """Three classes around centers.

    Args:
        samples: how many.
        labeled: whether labels are given.
        fixed: whether a test split is given.
        bad: ids below this cannot be read.
    """

    classes = ("a", "b", "c")

    def __init__(
        self, path=None, max_bad=0.0, *, samples: int = 150, labeled: bool = True, fixed: bool = False, bad: int = 0
    ) -> None:
        maker = torch.Generator().manual_seed(7)
        self.spec, self.bad = 6, bad
        kinds = torch.arange(samples) % 3
        self.x = torch.randn(3, 6, generator=maker)[kinds] + 0.3 * torch.randn(samples, 6, generator=maker)
        self.labels = kinds if labeled else None
        self.test = torch.arange(samples) >= samples * 2 // 3 if fixed else None

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: Sequence[int]) -> Points:
        ids = torch.tensor([i for i in indices if i >= self.bad], dtype=torch.int64)
        return Points(ids, self.x[ids])

    def describe(self) -> str:
        return f"{len(self)} points"


class Noise:
    """Two noisy views.

    Args:
        strength: of the noise.
    """

    roles = ("global", "global")
    params = ()

    def __init__(self, spec, *, strength: float = 0.1) -> None:
        self.width, self.strength = spec, strength

    def __call__(self, batch, draw):
        noise = [self.strength * draw.at(v).normal(self.width, 1) for v in range(2)]
        return [View(replace(batch, x=batch.x + n), "global") for n in noise]


class Clean:
    """The points as they are."""

    roles = ("clean",)
    params = ()

    def __init__(self, spec) -> None:
        pass

    def __call__(self, batch, draw):
        return [View(batch, "clean")]


class Net(nn.Module):
    """One hidden layer.

    Args:
        norm: whether it has BatchNorm.
        dim: of the features.
    """

    can = frozenset()

    def __init__(self, spec, *, norm: bool = False, dim: int = 5) -> None:
        super().__init__()
        self.dim = dim
        middle = nn.BatchNorm1d(dim) if norm else nn.Identity()
        self.body = nn.Sequential(nn.Linear(spec, dim), middle, nn.Dropout(0.5), nn.Tanh())

    def layout(self, batch) -> Layout:
        return Layout((1,) * len(batch), torch.zeros(len(batch), 1, dtype=torch.int64))

    def forward(self, view, *, hide="mask", layers=()) -> Features:
        x = self.body(view.batch.x)
        return Features(2 * x, self.layout(view.batch), x)


class Raw:
    """The points."""

    def __init__(self, spec) -> None:
        pass

    def __call__(self, view):
        return view.batch.x


def _row(kind, name, what):
    return Component(kind=kind, name=name, target=f"{HERE}:{what}", summary=name)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="toy",
        summary="points",
        contract=1,
        sample="float [6]",
        components=(
            _row("data", "clusters", "Clusters"),
            _row("views", "noise", "Noise"),
            _row("views", "clean", "Clean"),
            _row("encoder", "net", "Net"),
            _row("baseline", "raw", "Raw"),
        ),
        defaults={
            "data": "clusters",
            "views": "noise",
            "clean": "clean",
            "encoder": "net",
            "objective": "simclr",
            "baseline": "raw",
        },
    )
