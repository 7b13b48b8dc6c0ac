"""Models Genesis, https://arxiv.org/abs/1908.06912: restore a sub-volume from a distorted copy of it.

The views distort (non-linear intensity, local shuffling, in- and out-painting); the objective is the mean squared error
over all voxels. Differs: a decoder over the encoder's rows paints each row's cube, so that any encoder serves, where
the paper trains the encoder and decoder of one U-Net.

    # B volumes, T packed rows, W numbers of a cube
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, Progress, View
from unlabeled.heads import full
from unlabeled.objectives.masked import union_mean
from unlabeled_medical3d.grids import cubes


def restoration_loss(painted_TW: Tensor, target_TW: Tensor, *, power: int = 2) -> Tensor:
    """Mean over a cube of ``|painted - target| ** power``: ``[T]``."""
    error = full(painted_TW) - full(target_TW)
    return (error.square() if power == 2 else error.abs()).mean(-1)


def pairs_of(views: Sequence[View]) -> list[tuple[View, View]]:
    """Each source view with the target view of the same number."""
    sources = [view for view in views if view.role == "source"]
    targets = [view for view in views if view.role == "target"]
    assert len(sources) == len(targets), (len(sources), len(targets))
    return list(zip(sources, targets, strict=True))


def target_cubes(encoder: Any, source: View, target: View) -> Tensor:
    """``[T, W]``: the target's voxels, cut as the encoder cuts the source."""
    layout = source.layout or encoder.layout(source.batch)
    assert layout.grid is not None, "restoration needs an encoder whose rows form a grid"
    batch: Any = target.batch
    return cubes(batch.images, layout.grid)


class ModelsGenesis(nn.Module):
    """Restore the target view from the source view; it has no settings: the views choose the distortions."""

    def __init__(self, encoder: Any, decoder: MakeDecoder | None = None, content: int = 0) -> None:
        super().__init__()
        if decoder is None or content < 1:
            raise ValueError("genesis needs a decoder and the cubes tokenizer: choose them with --decoder, --tokenizer")
        self.needs = Needs(views={"source": 1, "target": 1}, encoder=frozenset({"tokens"}))
        self.decoder = decoder(dim=encoder.dim, width=content)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        rows = []
        for source, target in pairs_of(views):
            features = encoder(source.clean())
            rows.append(
                restoration_loss(self.decoder(features.tokens, features.layout), target_cubes(encoder, source, target))
            )
        return Loss(union_mean(torch.cat(rows)))

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Nothing to do: all state is trained by gradient."""
