"""A third party's plugin in one file, as ``--plugin toy_domain.py`` loads it: rows of numbers around four centers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from unlabeled import Component, Domain, hookimpl
from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.testing.toys import ToyBatch, ToyEncoder, toy_batch

HERE = "unlabeled_plugin_toy_domain"


def row(kind: str, name: str, target: str, summary: str = "a toy", **more: str) -> Component:
    return Component(kind=kind, name=name, target=f"{HERE}:{target}", summary=summary, **more)  # type: ignore[arg-type]


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="toy",
        summary="rows of numbers",
        contract=1,
        sample="float [L, F]",
        spec=f"{HERE}:ToySpec",
        components=(
            row("data", "centers", "Centers", "four classes, made up"),
            row("data", "lines", "Lines", "a text file with a number on each line"),
            row("views", "noise", "Noise"),
            row("views", "still", "Still"),
            row("encoder", "mlp", "Mlp", "a small network", paper="1706.03762"),
            row("encoder", "zoo/*", "Zoo", "any model of the zoo"),
            row("baseline", "flat", "Flat"),
            row("export", "native", "native"),
            row("preview", "picture", "picture"),
        ),
        defaults={
            "data": "centers",
            "files": "lines",
            "views": "noise",
            "clean": "still",
            "encoder": "mlp",
            "objective": "simclr",
            "baseline": "flat",
            "preview": "picture",
        },
    )


@dataclass(frozen=True)
class ToySpec:
    """Args: ``width`` numbers in a row; ``scale`` that views divide by."""

    width: int
    scale: tuple[float, ...] = (1.0,)


class Centers:
    """Four centers.

    Args:
        samples: how many.
    """

    def __init__(self, path: str | None, *, samples: int = 64) -> None:
        if path is not None:
            raise ValueError(f"the centers are made up; they are not read from {path}")
        if samples < 0:
            raise ValueError(f"samples is {samples}; it must be at least 0")
        self.spec = ToySpec(3)
        self.samples = samples
        self.labels: Tensor | None = torch.arange(samples) % 4
        self.classes = ("a", "b", "c", "d")
        self.test: Tensor | None = None

    def __len__(self) -> int:
        return self.samples

    def __getitems__(self, indices: Sequence[int]) -> ToyBatch:
        batch = toy_batch(list(indices), (4, 3))
        centers = 2.0 * (batch.ids % 4).float() - 3
        return replace(batch, x=batch.x * 0.3 + centers[:, None, None])

    def report(self, batch: ToyBatch) -> list[str]:
        return []

    def describe(self) -> str:
        return f"centers: {len(self)} samples"


class Lines(Centers):
    """A text file.

    Args:
        width: numbers in a row.
    """

    def __init__(self, path: str, max_bad: float, *, width: int = 3) -> None:
        count = len(Path(path).read_text().split())
        super().__init__(None, samples=count)
        self.spec = ToySpec(width)
        self.labels = None if count % 2 else self.labels


class Noise:
    """Two noisy views.

    Args:
        noise: deviation of the noise, at least 0.
    """

    def __init__(self, spec: ToySpec, *, noise: float = 0.1) -> None:
        if noise < 0:
            raise ValueError(f"noise is {noise}; it must be at least 0")
        self.noise, self.roles, self.params = noise, ("global", "global"), ()

    def __call__(self, batch: ToyBatch, draw: Draw) -> list[View]:
        views = []
        for number, role in enumerate(self.roles):
            noise = draw.at(number).normal(batch.x[0].numel(), 2000).reshape(batch.x.shape)
            views.append(View(replace(batch, x=batch.x + self.noise * noise), role))
        return views


class Still:
    """The sample as it is."""

    def __init__(self, spec: ToySpec) -> None:
        self.roles, self.params = ("clean",), ()

    def __call__(self, batch: ToyBatch, draw: Draw) -> list[View]:
        return [View(batch, "clean")]


class Mlp(ToyEncoder):
    """A small network.

    Args:
        width: features.
        depth: blocks.
        norm: of a block.
        pretrained: start from weights that would be downloaded.
    """

    def __init__(
        self,
        spec: ToySpec,
        *,
        width: int = 8,
        depth: int = 1,
        norm: Literal["layer", "batch"] = "layer",
        pretrained: bool = False,
    ) -> None:
        if pretrained:
            raise ValueError("a download")
        super().__init__(spec.width, width, depth=depth, norm=norm)


class Zoo(ToyEncoder):
    """Any model of the zoo, by name."""

    def __init__(self, model: str, spec: ToySpec) -> None:
        super().__init__(spec.width, 4, depth=len(model))


class Flat:
    """The sample, flattened."""

    def __init__(self, spec: ToySpec) -> None:
        self.spec = spec

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        return batch.x.flatten(1)


def native(encoder: Mlp, spec: ToySpec, folder: Path) -> str:
    """Weights alone."""
    save_file(encoder.state_dict(), folder / "weights.safetensors")
    return f"load_file('{folder}/weights.safetensors')"


def picture(data: Centers, views: Noise, out_png: Path, *, n: int = 8) -> Path:
    """A picture.

    Args:
        n: samples.
    """
    out_png.write_text(f"{len(views(data.__getitems__(range(n)), Draw(0, 0, torch.arange(n))))} views of {n}")
    return out_png
